"""What people are told when silences end, messages fail, values come and go, and receivers are added."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from tallymark.alerts.routing import EVERYBODY, Routing, choose_receivers
from tallymark.alerts.standing import OPEN
from tallymark.catalog.receivers import Receiver
from tallymark.plan.kinds.alert import Alert, Below
from tallymark.plan.kinds.rota import Rota
from tests.alerts.stories import START, World

# Silences and acknowledgements


def test_a_silence_that_is_ended_early_lets_go_what_it_held(story):
    """Who ends a silence hears at once what is still wrong, not when the silence would have ended."""
    silence = story.silence()
    story.turn(whole="firing")
    assert story.tell() == {}
    assert story.statuses() == ["held"]
    story.wait(60)
    story.silences.end(silence.id, "shop", story.now)
    assert list(story.tell()) == ["Warning: low: 3, below 5"]


def test_what_a_silence_held_of_one_value_is_dropped_with_that_value(story):
    """A value that was in trouble and well again under a silence is not told afterwards, though another one still is wrong."""
    silence = story.silence()
    story.turn(iOS="firing", Android="firing")
    assert story.tell() == {}
    story.turn(Android="ok", figure=9)
    story.silences.end(silence.id, "shop", story.now)
    assert list(story.tell()) == ["Warning: low (iOS): 3, below 5"]
    assert sorted(story.statuses()) == ["dropped", "sent"]


def test_an_acknowledgement_does_not_hide_a_new_value(story):
    """Whoever is at it knows of the values of then: what joins later is told, and what was known is not told again."""
    story.turn(iOS="firing")
    story.tell()
    story.wait(5)
    story.silence(incident=story.incident)
    story.wait(5)
    story.turn(Android="firing")
    (message,) = story.tell().values()
    assert message.title.startswith("Warning: low (Android)")
    assert "iOS: still firing: 3, below 5" in message.text
    story.turn(iOS="no data")
    assert story.tell() == {}
    story.wait(7200 - 3600 - 60)
    story.remind("pager", pause=timedelta(minutes=1))
    assert story.tell() == {}
    # Well for a while, the same value is news again.
    story.turn(iOS="ok", figure=9)
    assert list(story.tell()) == ["Warning: low: over for iOS, still wrong for Android"]
    story.turn(iOS="firing")
    assert list(story.tell()) == ["Warning: low (iOS): 3, below 5"]


# Order


def test_a_mended_address_is_told_at_once(story):
    """What did not arrive goes out when the receiver gets another address, and not after the pause."""
    story.turn(whole="firing")
    for _ in range(4):
        (batch,) = story.notices.claim(story.now)
        story.notices.finish(batch, "It said 404.", story.now)
        story.wait(300)
    assert story.notices.claim(story.now - timedelta(seconds=200)) == []
    (batch,) = story.notices.claim(story.now)
    story.notices.finish(batch, "It said 404.", story.now)
    story.wait(5)
    assert story.notices.claim(story.now) == []
    story.receiver("pager", "growth")
    (batch,) = story.notices.claim(story.now)
    assert batch.attempt == 6


def test_no_trouble_comes_after_its_end(story):
    """The end waits for the next attempt of the beginning, and a beginning whose end was told is not told any more."""
    story.turn(whole="firing")
    (begin,) = story.notices.claim(story.now)
    story.notices.finish(begin, "It said 500.", story.now)
    story.wait(5)
    story.turn(whole="ok", figure=9)
    # News does not bring the next attempt forward.
    assert story.notices.claim(story.now) == []
    story.wait(5)
    first, second = sorted(story.notices.claim(story.now), key=lambda one: one.id)
    assert [one.changes[0].after for one in (first, second)] == ["firing", "ok"]
    story.notices.finish(first, "It said 500.", story.now, [second])
    assert story.notices.claim(story.now + timedelta(seconds=29)) == []
    story.wait(30)
    sent = sorted(story.notices.claim(story.now), key=lambda one: one.id)
    assert [(one.changes[0].after, one.attempt) for one in sent] == [("firing", 3), ("ok", 1)]
    # Told the other way round all the same, the beginning is dropped.
    story.notices.finish(sent[1], "", story.now)
    story.notices.finish(sent[0], "It said 500.", story.now)
    story.wait(3600)
    assert story.notices.claim(story.now) == []
    assert story.statuses() == ["dropped", "sent"]


def test_what_begins_anew_is_another_trouble(story):
    """The end of one trouble and the beginning of the next have keys of their own: else the first would never be closed."""
    story.turn(whole="firing")
    story.tell()
    story.turn(whole="ok", figure=9)
    story.turn(whole="firing")
    over, trouble = story.tell().values()
    assert (over.kind, trouble.kind) == ("over", "trouble")
    assert over.key != trouble.key


# Values


def test_the_first_value_that_is_well_ends_nothing_for_the_others(story):
    """While another value is wrong the message says what is over and what is not, and closes no incident; the last one does."""
    story.turn(iOS="firing", Android="firing")
    (begin,) = story.tell().values()
    story.turn(iOS="ok", figure=9)
    (partly,) = story.tell().values()
    assert partly.title == "Warning: low: over for iOS, still wrong for Android"
    assert "Android: still firing: 3, below 5" in partly.text
    assert "Over: iOS" in partly.text.splitlines()
    assert [one["values"] for one in partly.facts["open"]] == [{"os": "Android"}]
    story.turn(Android="ok", figure=9)
    (end,) = story.tell().values()
    assert end.title == "Over: low (Android)"
    assert [one.kind for one in (begin, partly, end)] == ["trouble", "trouble", "over"]
    assert len({one.key for one in (begin, partly, end)}) == 1


def test_a_repeat_names_all_that_is_wrong_with_the_figures_of_now(story):
    """Whatever changed last, also an end: told again are the values in which something is wrong, as they are now."""
    story.turn(iOS="firing", Android="firing", Web="firing")
    story.tell()
    story.turn(Web="ok", figure=9)
    story.tell()
    story.judge(2)
    story.wait(3600)
    story.remind("pager")
    (message,) = story.tell().values()
    assert message.title == "Warning: low (Android and iOS): still 2, below 5"
    assert message.kind == "trouble"
    assert message.facts["repeats"] is True
    assert {one["values"]["os"]: one["value"] for one in message.facts["changes"]} == {"iOS": 2, "Android": 2}
    story.remind("pager")
    assert story.tell() == {}


# Receivers


def test_who_is_added_while_something_is_wrong_hears_of_it(story):
    """Once, with how it stands now, and then of the end; given another address they are somebody else."""
    story.turn(iOS="firing", Android="firing")
    story.tell()
    story.judge(1)
    story.wait(60)
    story.receiver("office", EVERYBODY)
    for _ in range(3):
        story.remind("pager", "office")
    (batch,) = story.notices.claim(story.now)
    assert batch.name == "office"
    assert story.message(batch).title == "Warning: low (Android and iOS): 1, below 5"
    story.notices.finish(batch, "", story.now)
    story.wait(60)
    story.receiver("office", EVERYBODY)
    story.remind("pager", "office")
    assert len(story.tell()) == 1
    story.turn(iOS="ok", Android="ok", figure=9)
    assert [one.name for one in story.notices.claim(story.now)] == ["pager", "office"]


def test_a_round_tells_those_who_were_added(tmp_path):
    """The watcher does it by itself, for whoever the alert's definition names now."""
    world = World(tmp_path)
    try:
        world.watch()
        world.run(12, count=1)
        world.run(12)
        assert world.state() in OPEN
        assert world.send() == []
        world.receiver("pager", "growth")
        world.receiver("others", "finance")
        world.tick()
        world.tick()
        assert [name for name, _, _ in world.send()] == ["pager"]
        assert world.send() == []
    finally:
        world.close()


def test_where_no_named_receiver_is_left_the_owners_are_told():
    """A name that is gone does not leave an alert without anybody; where one is left, that one is told."""

    def make(number, name, *owners):
        return Receiver(number, "shop", name, owners, "", START, "ana", None, None, "")

    all_of_them = [make(1, "chat", "growth"), make(2, "office", EVERYBODY), make(3, "desk", "finance")]

    def choose(*names):
        return [one.name for one in choose_receivers(all_of_them, names, "Growth")]

    assert choose("desk", "gone") == ["desk"]
    assert choose("gone") == ["chat", "office"]
    assert choose() == ["chat", "office"]
    told = Alert(name="a", metric="m", when=Below(value=1.0), window="1m", tell=("desk", "gone", "on_call"))
    rotas = {"on_call": Rota(name="on_call", people=("desk",), begins="2026-01-05")}
    assert Routing(all_of_them, rotas).find_unknown(told) == ["gone"]


def test_an_address_is_opened_for_its_own_project_and_name(story):
    """A number that came to belong to somebody else opens nothing."""
    (pager,) = story.receivers.list("shop")
    assert story.receivers.open_address(pager.id, "shop", "pager").startswith("json://")
    assert story.receivers.open_address(pager.id, "blog", "pager") == ""
    assert story.receivers.open_address(pager.id, "shop", "office") == ""


# Many at once


def test_what_begins_at_once_is_one_message(story):
    """200 alerts in one round are one message that lists them, with the key of each for programs; so are their ends."""
    names = [f"low{number:03}" for number in range(200)]
    for name in names:
        story.turn(name, whole="firing")
    (batch,) = story.notices.claim(story.now)
    message = story.message(batch)
    assert message.title == "Warning: 200 alerts: low000, low001, low002 and 197 more"
    assert "Warning: low007: 3, below 5" in message.text
    assert "and 150 more" in message.text
    assert "All alerts: https://t/alerts?project=shop" in message.text
    assert "https://t/alert/answer/shop.low007." in message.html
    assert [one["alert"] for one in message.facts["alerts"]] == names
    assert len({one["key"] for one in message.facts["alerts"]}) == 200
    assert len(msgspec.json.encode(message.facts)) < 300_000
    # Failed, it is tried again as the same message, whatever joined meanwhile.
    story.notices.finish(batch, "It said 500.", story.now)
    story.wait(10)
    story.turn("low000", whole="ok", figure=9)
    again, end = sorted(story.notices.claim(story.now), key=lambda one: one.id)
    assert (again.id, len(again.parts), again.attempt) == (batch.id, 200, 2)
    assert story.message(again).id == message.id
    assert story.message(end).title == "Over: low000"
    story.notices.finish(again, "", story.now)
    story.notices.finish(end, "", story.now)
    for name in names[1:]:
        story.turn(name, whole="ok", figure=9)
    (message,) = story.tell().values()
    assert (message.kind, message.title) == ("over", "Over: 199 alerts: low001, low002, low003 and 196 more")
    # Each end has the key that its beginning had.
    assert {one["kind"] for one in message.facts["alerts"]} == {"over"}


def test_few_alerts_are_told_apart(story):
    """Three are three messages."""
    for name in ("a", "b", "c"):
        story.turn(name, whole="firing")
    assert len(story.tell()) == 3


def test_services_that_keep_incidents_get_each_of_them(story):
    """What closes incidents by their keys is told each by itself."""
    story.receivers.create(
        "shop", "pager", "pagerduty://a@b", "pagerduty://****", ["growth"], "ana", story.now
    )
    for number in range(6):
        story.turn(f"low{number}", whole="firing")
    messages = story.tell().values()
    assert len({one.key for one in messages}) == 6
