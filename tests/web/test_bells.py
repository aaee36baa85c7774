"""Which alerts watch a metric, and how they stand: as the catalog and the book of alerts hold it."""

from __future__ import annotations

import pytest

from tallymark.alerts.changes import News, Outcome, Watch
from tallymark.alerts.standing import Standing
from tallymark.plan.kinds.alert import Alert, Below, NoData
from tallymark.web.bells import list_bells
from tallymark.web.desk import open_desk
from tallymark.web.services import Services
from tests.alerts.stories import COUNT, World


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    made.define("metric", COUNT)
    yield made
    made.close()


@pytest.fixture
def services(world):
    """Give services that hold what bells need: the catalog, and what is kept of alerts."""
    desk = open_desk(world.catalog, world.folder, ())
    yield Services(world.catalog, None, None, None, None, None, None, None, "", "", None, desk)  # type: ignore[arg-type]
    desk.close()


def _stand(world, alert, *states):
    """Keep of an alert that its values are in these states."""
    watch = Watch(digest="", judged_until=world.now, settled_until=world.now)
    standings = {
        (f"value {number}",): Standing(state=state, since=world.now, seen=world.now, present_since=world.now)
        for number, state in enumerate(states)
    }
    one = Alert(name=alert, metric="seen", when=Below(value=5), window="1m", breakdown=("os",))
    world.book.write("shop", [News(Outcome(one, watch, standings), "Seen", "", "growth")], world.now)


def _list(services):
    """Return the alerts of the metric as (name, state, whether it rings), in their order."""
    return [(one.alert.name, one.state, one.rings) for one in list_bells(services, "shop")["seen"]]


def test_a_metric_has_the_alerts_that_watch_it(world, services):
    """Each hangs at its own metric, those of other projects do not, and what nobody watches has none."""
    world.catalog.create_project("blog")
    assert list_bells(services, "shop") == {}
    for name in ("left", "unwatched"):
        world.define("metric", {**COUNT, "name": name})
    for name, metric in (("few", "seen"), ("fewer", "seen"), ("gone", "left")):
        world.watch(name=name, metric=metric)
    found = list_bells(services, "shop")
    assert {metric: [one.alert.name for one in bells] for metric, bells in found.items()} == {
        "seen": ["few", "fewer"],
        "left": ["gone"],
    }
    assert found["left"][0].alert == Alert(
        name="gone", metric="left", when=Below(value=5.0), window="1m", every="10s"
    )
    assert list_bells(services, "blog") == {}
    world.undefine("alert", "gone")
    assert list(list_bells(services, "shop")) == ["seen"]


def test_an_alert_rings_from_when_it_was_judged_to_be_in_trouble(world, services):
    """Before it was judged it has no state; then it has that of the last round, and rings while something is wrong."""
    world.watch()
    assert _list(services) == [("low", None, False)]
    world.run(8, count=1)
    assert _list(services) == [("low", "ok", False)]
    world.run(4)
    assert _list(services) == [("low", "firing", True)]
    world.run(8, count=1)
    assert _list(services) == [("low", "ok", False)]


@pytest.mark.parametrize(
    ("states", "worst", "rings"),
    [
        (["ok", "ok"], "ok", False),
        (["ok", "pending"], "pending", False),
        (["pending", "no data", "ok"], "no data", True),
        (["no data", "error"], "error", True),
        (["ok", "error", "firing", "no data", "pending"], "firing", True),
    ],
)
def test_the_worst_of_its_values_is_an_alerts_state(world, services, states, worst, rings):
    """One value in trouble is enough, however many are well."""
    world.watch(breakdown=["os"])
    _stand(world, "low", *states)
    assert _list(services) == [("low", worst, rings)]


@pytest.mark.parametrize(
    ("states", "worst", "rings"),
    [
        (["no data", "ok"], "no data", False),
        (["no data", "firing"], "firing", True),
        (["no data", "error"], "error", True),
    ],
)
def test_nothing_does_not_ring_where_nobody_is_told_of_it(world, services, states, worst, rings):
    """Where nothing coming is usual the state says so and the bell is still; what else is wrong rings."""
    world.watch(breakdown=["os"], no_data={"tell": False})
    _stand(world, "low", *states)
    assert _list(services) == [("low", worst, rings)]
    assert list_bells(services, "shop")["seen"][0].alert.no_data == NoData(tell=False)


def test_what_rings_comes_first(world, services):
    """In trouble before well, then those that wake people, then by their names."""
    for name, severity, state in (
        ("a", "info", "ok"),
        ("b", "page", "pending"),
        ("c", "warning", "no data"),
        ("d", "page", "error"),
        ("e", "info", "firing"),
    ):
        world.watch(name=name, severity=severity)
        _stand(world, name, state)
    world.watch(name="calm", severity="page", no_data={"tell": False})
    _stand(world, "calm", "no data")
    assert [name for name, *_ in _list(services)] == ["d", "c", "e", "b", "calm", "a"]
