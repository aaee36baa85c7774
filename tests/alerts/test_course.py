"""The points of an alert's chart are what was judged: the same windows, figures and limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from tallymark.alerts.batches import Batch
from tallymark.alerts.conditions import Judged, find_limits
from tallymark.alerts.course import choose_ends, judge_course
from tallymark.alerts.questions import Questions
from tallymark.alerts.windows import find_last_end
from tallymark.plan.kinds.alert import Above, Alert, Below, Falls, Rises, Unusual
from tallymark.plan.objects import decode_object
from tallymark.web.alert_pictures import build_message_spec, build_page_chart
from tests.alerts.stories import World

NOW = datetime(2026, 1, 5, 12, 0, 50, tzinfo=UTC)
BERLIN = "Europe/Berlin"


@pytest.fixture
def world(tmp_path):
    found = World(tmp_path)
    yield found
    found.close()


def alert_of(world):
    return decode_object("alert", world.definitions.find("shop", "alert", "low").body)


def questions_of(world):
    metrics = world.watcher.metrics_of("shop")
    return metrics, Questions(
        metrics, lambda one: world._ask("shop", one), lambda one: world._look("shop", one)
    )


def run(world, counts, value="a"):
    """Let windows of three minutes end every minute, with so many events in each minute; return what each was judged as."""
    judged = {}
    for count in counts:
        world.happen(count, value, world.now + timedelta(seconds=30))
        world.tick(60)
        kept = world.book.load("shop")["low"]
        judged[kept.watch.judged_until] = {values: one.judged for values, one in kept.standings.items()}
    return judged


def test_points_are_the_windows_that_were_judged(world):
    """An alert on windows of three minutes: each point has the end and the figure of a round's verdict, and no other is between them."""
    world.watch(window="3m", every="1m", delay="1s")
    world.others = True
    judged = run(world, [7, 1, 2, 9, 3, 0, 4, 8, 2, 6, 1])
    kept = world.book.load("shop")["low"]
    metrics, questions = questions_of(world)
    alert = alert_of(world)
    assert kept.watch.step == 60
    ends = [end for end in choose_ends(alert, kept.watch.judged_until, kept.watch.step, 180) if end in judged]
    assert ends == list(judged)
    points = judge_course(alert, metrics["seen"], ends, questions, kept.standings)
    assert {point.end: dict(point.verdicts) for point in points} == judged


def test_a_slow_store_shortens_the_course(world):
    """When its time is over a course has the newest windows, in order, and not those before them."""
    world.watch(window="3m", every="1m", delay="1s")
    world.others = True
    run(world, [7, 1, 2, 9, 3, 0, 4, 8, 2, 6, 1])
    kept = world.book.load("shop")["low"]
    metrics, questions = questions_of(world)
    alert = alert_of(world)
    ends = choose_ends(alert, kept.watch.judged_until, kept.watch.step, 180)
    whole = judge_course(alert, metrics["seen"], ends, questions, kept.standings)
    short = judge_course(alert, metrics["seen"], ends, questions, kept.standings, 0)
    assert len(ends) == len(whole) > len(short) >= 6
    assert short == whole[-len(short) :]


def test_the_chart_shows_them(world):
    """The page's chart has a point per window at its end, its figure, its n, and the limit; and shades from the change on."""
    world.watch(window="3m", every="1m", delay="1s")
    world.others = True
    judged = run(world, [7, 1, 2, 1, 1, 0, 4, 8, 2, 6, 1])
    kept = world.book.load("shop")["low"]
    metrics, questions = questions_of(world)
    changes = world.book.list_brief("shop", ["low"], world.now)
    view = build_page_chart(
        alert_of(world), metrics, questions, kept.standings, kept.watch.judged_until, kept.watch.step, changes, world.now
    )  # fmt: skip
    shown = {
        datetime.fromtimestamp(row["x"] / 1000, UTC): (row["y"], row["c"])
        for row in view.chart.rows
        if row["y"]
    }
    wanted = {end: (one[()].value, one[()].n) for end, one in judged.items() if one[()].value}
    assert {end: figure for end, figure in shown.items() if end in wanted} == {
        end: figure for end, figure in wanted.items() if end in shown
    }
    assert len(set(shown) & set(wanted)) >= 5
    assert all((end - kept.watch.judged_until) % timedelta(minutes=1) == timedelta() for end in shown)
    (limit,) = [
        layer for layer in view.chart.spec["layer"] if layer["mark"]["type"] == "rule" and "data" in layer
    ]
    assert limit["data"]["values"] == [{"y": 5.0}]
    (shade,) = [
        layer
        for layer in view.chart.spec["layer"]
        if layer["mark"].get("color") and layer["mark"]["type"] == "rect"
    ]
    fired, over = (
        change.at.timestamp() * 1000
        for change in world.changes()
        if "firing" in (change.before, change.after)
    )
    assert shade["data"]["values"] == [{"x": fired, "x2": over}]
    assert "window of 3m, at its end" in view.chart.notes[0]


def test_the_limit_is_within_the_axis(world):
    """Where all figures are 0 the axis reaches the limit nevertheless, instead of a chart that is as high as a page."""
    world.watch(window="3m", every="1m", delay="1s")
    world.others = True
    run(world, [0, 0, 0, 0, 0, 0])
    kept = world.book.load("shop")["low"]
    metrics, questions = questions_of(world)
    chart = build_page_chart(
        alert_of(world), metrics, questions, kept.standings, kept.watch.judged_until, kept.watch.step, [], world.now
    ).chart  # fmt: skip
    assert {row["y"] for row in chart.rows} <= {0, None}
    scales = [layer["encoding"]["y"].get("scale", {}) for layer in chart.spec["layer"]]
    assert all("domain" not in scale for scale in scales)


def test_a_message_has_the_figure_that_caused_it(world):
    """A late event changes the figure of a window; the picture of a message still shows the one that it tells of."""
    world.watch(window="3m", every="1m", delay="5m")
    world.others = True
    world.receiver("chat", "growth")
    run(world, [7, 7, 7, 1, 1, 1])
    (change,) = [one for one in world.changes() if one.after == "firing"]
    figure = change.cause.standing.judged.value
    world.happen(50, at=change.at - timedelta(seconds=20))
    metrics, questions = questions_of(world)
    batch = Batch(1, 1, "shop", "low", change.incident, 1, False, [change], [1])
    spec = msgspec.json.decode(build_message_spec(batch, metrics, questions, 10, [], world.now))
    rows = spec["data"]["values"]
    assert rows[-1]["x"] == round(change.at.timestamp() * 1000)
    assert rows[-1]["y"] == figure < 5
    assert rows[-2]["x"] == rows[-1]["x"] - (rows[-1]["x"] - rows[0]["x"]) // (len(rows) - 1)


def test_of_a_breakdown_each_value_has_its_line(world):
    """The values in trouble come first; a message's picture has its own value alone."""
    world.watch(window="3m", every="1m", delay="1s", breakdown=["os"])
    for _ in range(6):
        world.happen(9, "iOS", world.now + timedelta(seconds=30))
        world.happen(1, "web", world.now + timedelta(seconds=30))
        world.tick(60)
    kept = world.book.load("shop")["low"]
    metrics, questions = questions_of(world)
    alert = alert_of(world)
    view = build_page_chart(
        alert, metrics, questions, kept.standings, kept.watch.judged_until, 60, [], world.now
    )
    assert [label.label for label in view.chart.series] == ["web", "iOS"]
    (change,) = [one for one in world.changes() if one.after == "firing"]
    batch = Batch(1, 1, "shop", "low", change.incident, 1, False, [change], [1])
    spec = msgspec.json.decode(build_message_spec(batch, metrics, questions, 10, [], world.now))
    assert {row["k"] for row in spec["data"]["values"]} == {"web"}
    assert spec["title"]["text"].endswith("web")


@pytest.mark.parametrize(
    ("window", "more", "points", "reach"),
    [
        ("3m", {}, 90, timedelta(hours=3)),
        ("30s", {}, 90, timedelta(hours=3)),
        ("1h", {}, 90, timedelta(days=3)),
        ("1d", {"every": "1d"}, 30, timedelta(days=30)),
        ("7d", {"every": "1d"}, 42, timedelta(days=42)),
        ("15m", {"when": Unusual(weeks=8)}, 10, timedelta(hours=3)),
        ("15m", {"when": Falls(percent=20, against="last week")}, 45, timedelta(hours=3)),
    ],
)
def test_ends_are_ends_of_windows(window, more, points, reach):
    """Whatever the window, there are some dozens of points, all on the alert's own grid, and they reach back as far as people look."""
    alert = Alert(name="a", metric="m", window=window, timezone=BERLIN, **({"when": Below(value=1.0)} | more))
    step = max(alert.step, 10)
    last = find_last_end(step, BERLIN, NOW)
    ends = choose_ends(alert, last, step, 90)
    assert ends[-1] == last
    assert ends == sorted(set(ends))
    assert points * 0.5 <= len(ends) <= points
    assert reach * 0.8 <= ends[-1] - ends[0] <= reach + timedelta(hours=1)
    assert all(find_last_end(step, BERLIN, end) == end for end in ends)


@pytest.mark.parametrize(
    ("when", "judged", "limits"),
    [
        (Below(value=0.8), {"normal": 0.8}, [0.8]),
        (Above(value=3.0), {"normal": 3.0}, [3.0]),
        (Falls(percent=20, against="last week"), {"normal": 50.0}, [40.0]),
        (Rises(by=5.0, against="yesterday"), {"normal": 50.0}, [55.0]),
        (Unusual(side="below"), {"normal": 5.0, "usual_low": 3.0, "usual_high": 7.0}, [3.0]),
        (Unusual(side="both"), {"normal": 5.0, "usual_low": 3.0, "usual_high": 7.0}, [3.0, 7.0]),
        (Falls(percent=20, against="last week"), {}, []),
    ],
)
def test_limits_are_where_the_condition_begins(when, judged, limits):
    """A limit is the figure at which a window would have met the condition, by what it was held against."""
    assert find_limits(when, Judged(verdict="not met", **judged)) == limits
