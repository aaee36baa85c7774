"""Messages: one sentence of what happened, then what is known; nothing in them is markup that somebody else wrote."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import msgspec
import pytest

from tallymark.alerts.batches import Batch
from tallymark.alerts.changes import Cause, ChangeRow
from tallymark.alerts.conditions import Judged
from tallymark.alerts.links import Grant, Links, build_links, parse_token, sign_token
from tallymark.alerts.messages import build_message
from tallymark.alerts.standing import Standing
from tallymark.alerts.words import write_condition, write_duration, write_judged, write_list, write_since
from tallymark.plan.kinds.alert import Above, Alert, Below, Falls, Rises, Unusual
from tallymark.queries.kinds.ratio import wilson_interval
from tests.alerts.stories import START

WELL = Judged(verdict="not met", value=0.9, n=400, low=0.87, high=0.93, normal=0.8)
LOW = Judged(verdict="met", value=0.62, n=412, low=0.57, high=0.67, normal=0.8)
BELOW = Below(value=0.8)
SECRET = b"secret"


def alert(**more):
    given = {
        "name": "sms_low",
        "metric": "sms",
        "when": BELOW,
        "window": "15m",
        "severity": "page",
        "breakdown": ("os",),
    }
    return Alert(**{**given, **more})


def change(number, before, after, values=("iOS",), judged=LOW, **more):
    opened = START if after != "ok" else None
    standing = Standing(since=START, seen=START, state=after, opened=opened, judged=judged)
    cause = Cause(
        standing=standing, alert=alert(**more), opened=START, title="SMS code", unit="ratio", owner="growth"
    )
    return ChangeRow(number, "shop", "sms_low", values, before, after, 1, START, START, cause)


def batch(*changes, repeats=False, number=7):
    return Batch(number, 1, "shop", "sms_low", 1, 1, repeats, list(changes), [number])


def test_one_sentence_then_what_is_known():
    """The title says what, where and how bad; the text since when, when it fires, and whose it is."""
    made = build_message(
        batch(change(1, "ok", "firing")), Links("https://t/alert"), START + timedelta(minutes=5)
    )
    assert made.title == "PAGE: sms_low (iOS): 62.0 % (95 %: 57.0 to 67.0 %, n 412), below 80 %"
    lines = made.text.splitlines()
    assert lines[0] == made.title
    assert "Since: 5 Jan 2026 12:00 (UTC), 5 min ago" in lines
    assert "Fires when: SMS code is below 80 %, over 15m" in lines
    assert "Owner: growth" in lines
    assert "Page: https://t/alert" in lines
    assert (made.kind, made.facts["changes"][0]["values"]) == ("trouble", {"os": "iOS"})
    msgspec.json.encode(made.facts)


@pytest.mark.parametrize(
    ("alert", "moment", "text"),
    [
        ({"window": "1d", "every": "1d"}, "2026-01-06T00:00:00Z", "5 Jan 2026 (UTC)"),
        # Judged by the clock, and not when a day was over.
        ({"window": "1d", "every": "1d"}, "2026-01-06T00:01:00Z", "6 Jan 2026 00:01 (UTC)"),
        ({"window": "1d"}, "2026-01-06T00:00:00Z", "6 Jan 2026 00:00 (UTC)"),
        ({"window": "1d", "every": "1d", "timezone": "Europe/Berlin"}, "2026-03-29T22:00:00Z", "29 Mar 2026 (Europe/Berlin)"),
        ({"window": "7d", "every": "1d"}, "2026-03-01T00:00:00Z", "28 Feb 2026 (UTC)"),
        ({"window": "2d", "every": "2d"}, "2026-03-02T00:00:00Z", "28 Feb 2026 to 1 Mar 2026 (UTC)"),
    ],
)  # fmt: skip
def test_an_alert_on_whole_days_names_the_day(alert, moment, text):
    """The blizzard was on the 8th, which is known at midnight of the 9th."""
    made = Alert(name="a", metric="m", when=BELOW, **alert)
    assert write_since(made, datetime.fromisoformat(moment)) == text


def test_several_values_are_one_message():
    """What belongs together is told together: each value with its figures, what is over besides."""
    changes = [
        change(number, "ok", "firing", (name,)) for number, name in enumerate(["iOS", "Android", "Web"], 1)
    ]
    made = build_message(batch(*changes, change(9, "firing", "ok", ("TV",))), Links(), START)
    assert "(iOS, Android and Web)" in made.title
    assert (
        sum(
            line.startswith(("iOS: firing", "Android: firing", "Web: firing"))
            for line in made.text.splitlines()
        )
        == 3
    )
    assert "Over: TV" in made.text


def test_what_came_and_went_is_told_with_its_end():
    """Of trouble that was over before anybody was told, the message says that it is over and how long it lasted."""
    begun = change(1, "ok", "firing")
    ended = msgspec.structs.replace(LOW, verdict="not met", value=0.9)
    over = change(2, "firing", "ok", judged=ended)
    made = build_message(batch(begun, over), Links(), START)
    assert made.title == "Over: sms_low (iOS)"
    assert made.kind == "over"
    assert "Lasted: " in made.text


def test_a_repeat_says_still():
    """Told again, it says that it still is so."""
    assert (
        "still 62.0 %" in build_message(batch(change(1, "ok", "firing"), repeats=True), Links(), START).title
    )


@pytest.mark.parametrize(("state", "said"), [("no data", "no data"), ("error", "cannot be judged")])
def test_other_states_have_their_words(state, said):
    """No data and errors are no figures."""
    assert build_message(batch(change(1, "ok", state)), Links(), START).title.endswith(said)


def test_no_figure_says_why():
    """Where events may have come the message does not say that there are none, nor that there never were any."""
    judged = Judged(verdict="no data", reason="There is a division by zero.")
    for values in ((), ("iOS",)):
        made = build_message(batch(change(1, "ok", "no data", values, judged=judged)), Links(), START)
        assert made.title.endswith(": no data: there is a division by zero")


def test_names_are_no_markup():
    """What somebody wrote or sent is text in the HTML, whatever it looks like."""
    evil = '<img src=x onerror="alert(1)">'
    made = build_message(
        batch(change(1, "ok", "firing", (evil,), title=evil, description=evil)), Links(evil), START
    )
    assert "<img" not in made.html
    assert "&lt;img" in made.html


def test_messages_of_one_trouble_have_one_key():
    """The key tells the trouble, the id the message: sent again both stay, the next message has another id."""
    first, second = (
        build_message(batch(change(1, "ok", "firing"), number=n), Links(), START) for n in (7, 8)
    )
    again = build_message(batch(change(1, "ok", "firing"), number=7), Links(), START + timedelta(hours=1))
    assert first.key == second.key == batch(change(1, "ok", "firing")).key
    assert first.id == again.id != second.id


@pytest.mark.parametrize(
    ("when", "unit", "said"),
    [
        (Above(value=1500), "ms", "above 1,500 ms, over 15m"),
        (Falls(percent=20), "ratio", "at least 20 % lower than in the same window last week, over 15m"),
        (
            Rises(by=0.05, against="previous"),
            "ratio",
            "at least 5 percentage points higher than in the window before, over 15m",
        ),
        (
            Unusual(side="below", weeks=6),
            "",
            "below what the same weekday and hour of 6 weeks gave, over 15m",
        ),
    ],
)
def test_conditions_are_words(when, unit, said):
    """Each condition is a sentence that says all of it."""
    assert write_condition(alert(when=when), unit) == said


def test_sums_are_told_to_the_cent():
    """What is exact is told in full, beside the limit as it was written and the figure before."""
    judged = Judged(verdict="met", value=1248025.57, n=8, normal=1250000.5, exact=True)
    said = write_judged(alert(when=Below(value=1250000.5)), judged, "EUR")
    assert said == "1,248,025.57 EUR (n 8), below 1,250,000.5 EUR"
    change = write_judged(alert(when=Falls(against="previous", percent=10)), judged, "EUR")
    assert "below 1,250,000.5 EUR in the window before" in change


@pytest.mark.parametrize(
    ("value", "said"), [(448, "1,020 %"), (60, "50 %"), (40.1, "0.25 %"), (439.9, "1,000 %")]
)
def test_a_large_change_is_a_plain_number(value, said):
    """A change by more than a thousand per cent is written with its digits, and without an exponent."""
    judged = Judged(verdict="not met", value=value, n=448, normal=40, exact=True)
    assert f"{said} above 40 in the window before" in write_judged(
        alert(when=Falls(against="previous", percent=20)), judged, ""
    )


def test_no_change_has_no_size():
    """A figure that is what it was before is at it, and not 0 % at it."""
    judged = Judged(verdict="not met", value=720, n=720, normal=720, exact=True)
    said = write_judged(alert(when=Falls(against="previous", percent=20)), judged, "")
    assert said == "720 (n 720), at 720 in the window before"


def test_37_of_64_near_its_limit():
    """Where more digits tell a figure from its limit the interval has them as well."""
    low, high = wilson_interval(37, 64)
    judged = Judged(verdict="met", value=37 / 64, n=64, low=low, high=high, normal=0.6)
    said = write_judged(alert(when=Below(value=0.6)), judged, "ratio")
    assert said == "57.8 % (95 %: 45.6 to 69.1 %, n 64), below 60 %"


def test_verdicts_are_words():
    """A verdict says the figure, how sure it is, and what it was held against, as the interval is written."""
    near = msgspec.structs.replace(LOW, value=0.7983, low=0.75, high=0.84)
    assert write_judged(alert(), near, "ratio").startswith("79.8 % (95 %: 75.0 to 84.0 %, ")
    band = Judged(verdict="met", value=20, n=20, normal=100.0, usual_low=80.0, usual_high=120.0, weeks=7)
    assert write_judged(alert(when=Unusual()), band) == "20 (n 20), below the usual 80 to 120 (from 7 weeks)"
    fell = Judged(verdict="met", value=50, n=50, normal=100.0)
    assert (
        write_judged(alert(when=Falls(percent=20)), fell)
        == "50 (n 50), 50 % below 100 in the same window last week"
    )


def test_lists_and_lengths():
    """Long lists end with how many more there are, long times have two units."""
    assert write_list(list("abcde"), 3) == "a, b, c and 2 more"
    assert write_list(["a", "b"], 3) == "a and b"
    assert write_duration(timedelta(days=2, hours=3, minutes=4)) == "2 d 3 h"


def test_a_link_holds_for_one_trouble_and_a_time():
    """A token cannot be altered, made for another trouble, or used when it is over."""
    grant = Grant("shop", "sms_low", 12)
    token = sign_token(grant, SECRET, START + timedelta(days=1))
    assert parse_token(token, SECRET, START) == grant
    assert parse_token(token, SECRET, START + timedelta(days=2)) is None
    assert parse_token(token, b"another", START) is None
    assert parse_token(token.replace(".12.", ".13."), SECRET, START) is None
    assert parse_token(token.replace("shop.", "blog."), SECRET, START) is None
    assert parse_token("", SECRET, START) is None
    with pytest.raises(ValueError, match="secret"):
        sign_token(grant, b"", START)
    assert parse_token(token, b"", START) is None
    assert build_links(batch(), "", SECRET, START) == Links()
    assert "/alert/answer/shop.sms_low.1." in build_links(batch(), "https://t/", SECRET, START).acknowledge


def test_an_end_says_how_long_it_was_and_why_where_it_is_not_well():
    """The time is that of the value whose trouble began first; what is not looked at any more is not called well."""
    ends = [
        change(number, "firing", "ok", (name,), judged=WELL)
        for number, name in enumerate(["Android", "iOS"], 1)
    ]
    later = msgspec.structs.replace(ends[0].cause, opened=START + timedelta(minutes=3))
    ends[0] = replace(ends[0], cause=later, at=START + timedelta(minutes=8))
    ends[1] = replace(ends[1], at=START + timedelta(minutes=8))
    assert "Lasted: 8 min" in build_message(batch(*ends), Links(), START).text.splitlines()
    gone = Judged(verdict="not met", reason="The alert was taken away.")
    made = build_message(batch(change(1, "firing", "ok", judged=gone)), Links(), START)
    assert made.title == "Over: sms_low (iOS): The alert was taken away"


def test_what_is_kept_firing_says_since_when_it_is_well():
    """Good figures beside "firing" would be a riddle."""
    still = change(1, "firing", "firing", judged=WELL)
    calm = msgspec.structs.replace(still.cause.standing, calm_since=START + timedelta(minutes=2))
    still = replace(still, cause=msgspec.structs.replace(still.cause, standing=calm))
    made = build_message(replace(batch(change(2, "ok", "firing", ("Web",))), still=[still]), Links(), START)
    assert "well since 5 Jan 2026 12:02 (UTC)" in made.text
