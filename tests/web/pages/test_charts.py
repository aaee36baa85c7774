"""Pictures of answers: nothing that arrives reaches an expression, and nothing is shown that the figures do not carry."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tallymark.queries.kinds import Question
from tallymark.queries.kinds.ratio import wilson_interval
from tallymark.queries.result import Answer, Column, Cost
from tallymark.web.charts import MAX_POINTS, build_balance_chart, build_chart
from tallymark.web.pages.html import embed_json

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "{{7*7}}",
    "datum['c0']",
    '"+alert(1)+"',
    "\\",
    "__proto__",
    "constructor",
    "\u202emoc.evil",
    "x" * 1_000,
]
TEXTS = st.lists(
    st.text(min_size=1, max_size=40) | st.sampled_from(HOSTILE), min_size=4, max_size=4, unique=True
)
BENIGN = ["one", "two", "three", "four"]
_WRITTEN = (
    "abs(datum.value) < 10000 ? format(datum.value, ',~r')"
    " : abs(datum.value) < 1e24 ? format(datum.value, '~s') : format(datum.value, '.3~e')"
)
EXPRESSIONS = {
    "max(2, floor(width / 96))",
    "width * 0.56",
    "width * 0.42",
    _WRITTEN,
    *(
        f"abs(datum.value) > 10000 * (domain('{axis}')[1] - domain('{axis}')[0]) ? format(datum.value, ',.15~r') : {_WRITTEN}"
        for axis in ("x", "y")
    ),
    "format(datum.value, '~%')",
    "format(abs(datum.value), '~s')",
    "labels[toNumber(datum.value)]",
}


def _question(kind: str, texts: list[str], interval: str | None) -> Question:
    first, second, field, _ = texts
    asked: dict[str, Any] = {"kind": kind, "from": "2026-01-01", "to": "2026-01-03", "breakdown": [field]}
    if kind == "funnel":
        steps = [{"event_name": first, "name": second}, {"event_name": second}]
        asked |= {"by": "session_id", "window": "7d", "steps": steps}
    else:
        asked |= {"interval": interval} if interval else {}
        if kind == "trend":
            asked["series"] = [{"event_name": first, "name": first}, {"event_name": second}]
        else:
            asked |= {"numerator": {"event_name": first}, "denominator": {"event_name": second}}
    return msgspec.convert(asked, Question)


def _answer(kind: str, texts: list[str], interval: str | None) -> Answer:
    first, second, field, value = texts
    times = [["2026-01-01T00:00:00Z"], ["2026-01-02T00:00:00Z"]] if interval and kind != "funnel" else [[]]
    if kind == "funnel":
        columns = [field, "step", "name", "reached", "conversion_from_previous", "conversion_from_first", "s"]
        rows: list[list[Any]] = [[value, 1, second, 9, 1.0, 1.0, None], [value, 2, second, 3, 0.3, 0.3, 1.5]]
    elif kind == "trend":
        columns, rows = [field, first, second], [[*time, value, 5, 7.5] for time in times]
    else:
        columns = [field, "numerator", "denominator", "ratio", "low", "high"]
        rows = [[*time, value, 90, 100, 0.9, 0.83, 0.94] for time in times]
    lead = [Column("time", "time")] if times[0] and kind != "funnel" else []
    return Answer((*lead, *(Column(name, "text") for name in columns)), rows, [], Cost(1.0))


def _expressions(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {
            value
            for name, value in node.items()
            if name in ("expr", "labelExpr", "signal") and isinstance(value, str)
        }
        return own.union(*(_expressions(value) for value in node.values()))
    return set().union(*(_expressions(value) for value in node)) if isinstance(node, list) else set()


@given(TEXTS, st.sampled_from(["trend", "ratio", "funnel"]), st.sampled_from([None, "day"]))
def test_what_users_sent_never_reaches_the_specification(texts, kind, interval):
    """The specification is byte for byte the same whatever names and values say, so no text can be an expression."""
    shown = build_chart(_question(kind, texts, interval), _answer(kind, texts, interval))
    plain = build_chart(_question(kind, BENIGN, interval), _answer(kind, BENIGN, interval))
    assert shown is not None
    assert plain is not None
    assert json.dumps(shown.spec) == json.dumps(plain.spec)
    assert _expressions(shown.spec) <= EXPRESSIONS
    # Keys of scales and fields of rows are ours too; only labels and figures carry text.
    for row, other in zip(shown.rows, plain.rows, strict=True):
        assert {name: row[name] for name in row if name not in ("label", "figure")} == {
            name: other[name] for name in other if name not in ("label", "figure")
        }


def test_labels_of_an_axis_are_values():
    """Where clocks change the axis has texts of ours: they stand in a value, and the expression that reads them is constant."""
    question = msgspec.structs.replace(_question("trend", HOSTILE[:4], "hour"), timezone="Europe/Berlin")
    answer = _answer("trend", HOSTILE[:4], "day")
    rows = [[f"2026-10-25T02:00:00+0{offset}:00", "g", 1, 2.0] for offset in (2, 1)]
    chart = build_chart(question, msgspec.structs.replace(answer, rows=rows))
    assert chart is not None
    assert len(chart.spec["params"]) == 1
    assert set(chart.spec["params"][0]["value"].values()) == {"02:00"}
    assert "labels[toNumber(datum.value)]" in _expressions(chart.spec)
    assert _expressions(chart.spec) <= EXPRESSIONS


@given(st.sampled_from(HOSTILE) | st.text())
def test_embedded_json_cannot_end_its_element(text):
    """What stands in a page as JSON holds no markup character, and reads back as it was."""
    embedded = str(embed_json({"label": text}))
    assert not set("<>&") & set(embedded)
    assert json.loads(embedded) == {"label": text}


def test_a_label_shows_what_would_turn_it_around():
    """Groups, series and steps are written in pictures as they are in tables: nothing reads as something else."""
    turned = ["\u202eeno", "\u202eowt", "by", "\u2066group"]
    for kind, interval in (("trend", "day"), ("trend", None), ("funnel", None)):
        chart = build_chart(_question(kind, turned, interval), _answer(kind, turned, interval))
        assert chart is not None
        said = json.dumps([msgspec.to_builtins(chart.series), chart.rows, chart.text], ensure_ascii=False)
        assert "\\u2066group" in said.replace("\\\\", "\\")
        assert not {"\u202e", "\u2066"} & set(said)


def test_a_rate_of_too_few_events_is_not_drawn():
    """A point whose 95 % interval is wider than half the scale is left out of the picture, and that is said."""
    question = _question("ratio", BENIGN, "day")
    low, high = wilson_interval(1, 2)
    rows = [
        ["2026-01-01T00:00:00Z", "g", 1, 2, 0.5, low, high],
        ["2026-01-02T00:00:00Z", "g", 90, 100, 0.9, 0.83, 0.94],
    ]
    answer = _answer("ratio", BENIGN, "day")
    chart = build_chart(question, msgspec.structs.replace(answer, rows=rows))
    assert chart is not None
    assert [row["y"] for row in chart.rows] == [None, 0.9]
    assert chart.notes[0].startswith("1 rate rests on so few events that its")
    assert "wider than 50 percentage points" in chart.notes[0]


def test_where_no_rate_is_drawn_there_are_axes():
    """Where every rate is in the table only, the chart has the scale of shares and not an axis in mid-air."""
    question = _question("ratio", BENIGN, "day")
    low, high = wilson_interval(1, 2)
    rows = [["2026-01-01T00:00:00Z", "g", 1, 2, 0.5, low, high]]
    chart = build_chart(question, msgspec.structs.replace(_answer("ratio", BENIGN, "day"), rows=rows))
    assert chart is not None
    scales = [layer["encoding"]["y"].get("scale", {}) for layer in chart.spec["layer"]]
    assert [scale.get("domain") for scale in scales] == [[0, 1]] * len(scales)


def test_time_is_the_wall_clock_of_the_questions_zone():
    """A day in Berlin begins at midnight on the axis, not at 23:00 of the day before."""
    question = _question("trend", BENIGN, "day")
    answer = _answer("trend", BENIGN, "day")
    rows = [["2026-07-01T00:00:00+02:00", "g", 1, 2.0]]
    chart = build_chart(question, msgspec.structs.replace(answer, rows=rows))
    assert chart is not None
    assert chart.rows[0]["x"] == datetime(2026, 7, 1, tzinfo=UTC).timestamp() * 1000


def test_too_many_lines_and_points_are_left_out_aloud():
    """The picture is bounded, and says what only the table has."""
    question = _question("trend", BENIGN, "day")
    answer = _answer("trend", BENIGN, "day")
    start = datetime(1970, 1, 1, tzinfo=UTC)
    rows = [
        [(start + timedelta(days=day)).isoformat(), f"g{group}", 1, 2.0]
        for day in range(3_000)
        for group in range(12)
    ]
    chart = build_chart(question, msgspec.structs.replace(answer, rows=rows))
    assert chart is not None
    assert len(chart.series) == 8
    assert len(chart.rows) == MAX_POINTS
    assert chart.notes[0] == "The chart shows the first 8 of 24 lines; the table has all."
    assert "points" in chart.notes[1]


def test_one_figure_needs_no_picture():
    """A ratio without time and groups is one number with its interval and its n."""
    question = msgspec.convert(
        {
            "kind": "ratio",
            "from": "2026-01-01",
            "to": "2026-01-02",
            "numerator": {"event_name": "a"},
            "denominator": {"event_name": "b"},
        },
        Question,
    )
    answer = Answer((), [[975, 1000, 0.975, 0.963, 0.983]], [], Cost(1.0))
    chart = build_chart(question, answer)
    assert chart is not None
    (figure,) = chart.figures
    assert (figure.value, figure.detail) == ("97.5 %", "95 %: 96.3 to 98.3 %, n = 1,000")


def test_an_empty_answer_has_no_picture():
    """Without rows there is nothing to draw."""
    answer = msgspec.structs.replace(_answer("trend", BENIGN, "day"), rows=[])
    assert build_chart(_question("trend", BENIGN, "day"), answer) is None


def test_the_ledgers_picture_is_its_own_mirror_image():
    """Below the line the parts add up to what stands above it, interval by interval."""
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    lines = {"received": 10, "stored": 6, "duplicate": 3, "in_flight": 1}
    chart = build_balance_chart([(begin, begin + timedelta(minutes=1), lines)])
    assert chart.rows[0]["y"] == 10
    assert chart.rows[0]["y2"] == 0
    below = chart.rows[1:]
    assert [row["n"] for row in below] == [6, 3, 1]
    assert below[-1]["y2"] == -10
    assert all(one["y2"] == other["y"] for one, other in pairwise(below))


def test_the_picture_is_told_in_words():
    """Who cannot see the chart reads its lines with their lowest, highest and last figure."""
    chart = build_chart(_question("ratio", BENIGN, "day"), _answer("ratio", BENIGN, "day"))
    assert chart is not None
    assert chart.text == (
        "Line chart, one point per day. four: 2 points, lowest 90.0 % at 2026-01-01,"
        " highest 90.0 % at 2026-01-02, last 90.0 %."
    )


def _fields(chart: Any) -> list[tuple[str, str]]:
    return [
        (layer["mark"]["type"], layer["encoding"].get("y", {}).get("field", ""))
        for layer in chart.spec["layer"]
    ]


def test_a_figure_between_gaps_is_seen_with_its_interval():
    """Among hundreds of points, one without a neighbour is marked, and its interval drawn; others are left to the line."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    sure, none = [90, 100, 0.9, 0.83, 0.94], [0, 0, None, None, None]
    rows = [
        [(start + timedelta(days=day)).isoformat(), "g", *(none if day in (49, 51) else sure)]
        for day in range(100)
    ]
    answer = _answer("ratio", BENIGN, "day")
    chart = build_chart(_question("ratio", BENIGN, "day"), msgspec.structs.replace(answer, rows=rows))
    assert chart is not None
    assert [(row["a"], row["al"], row["ah"]) for row in chart.rows if "a" in row] == [(0.9, 0.83, 0.94)]
    assert {("rule", "al"), ("point", "a")} <= set(_fields(chart))
    whole = msgspec.structs.replace(answer, rows=[[row[0], "g", *sure] for row in rows])
    joined = build_chart(_question("ratio", BENIGN, "day"), whole)
    assert joined is not None
    assert not any("a" in row for row in joined.rows)
    assert ("point", "a") not in _fields(joined)


def test_what_is_all_the_same_stands_on_a_scale():
    """Figures that are all zero lie on the bottom of the axis, and a single figure makes no tick of six digits."""
    for figure, scale in (
        (0, {"zero": True, "nice": True, "domain": [0, 1]}),
        (1.58684, {"zero": True, "nice": True}),
    ):
        for interval in ("day", None):
            answer = _answer("trend", BENIGN, interval)
            rows = [[*row[:-2], figure, figure] for row in answer.rows]
            question = _question("trend", BENIGN, interval)
            chart = build_chart(question, msgspec.structs.replace(answer, rows=rows))
            assert chart is not None
            axis = "y" if interval else "x"
            scales = [
                layer["encoding"][axis]["scale"]
                for layer in chart.spec["layer"]
                if layer["encoding"][axis].get("field") == "y"
            ]
            assert scales
            assert all(one == scale for one in scales)


def test_a_value_has_its_colour_also_alone():
    """A chart of one value has the colour of that value; what is no value of a field begins with the first."""
    asked = []

    def choose(field, values):
        asked.append((field, list(values)))
        return dict.fromkeys(values, "s5")

    question, answer = _question("ratio", BENIGN, "day"), _answer("ratio", BENIGN, "day")
    chart = build_chart(question, answer, choose)
    assert chart is not None
    assert {row["k"] for row in chart.rows} == {"s5"}
    assert asked == [("three", ["['four']"])]
    plain = msgspec.structs.replace(question, breakdown=())
    rows = [[row[0], *row[2:]] for row in answer.rows]
    chart = build_chart(plain, msgspec.structs.replace(answer, rows=rows), choose)
    assert chart is not None
    assert {row["k"] for row in chart.rows} == {"s0"}


def test_a_funnel_says_what_its_figures_carry():
    """A step says who reached it, its share of the first, what was lost since the step before and how long it took."""
    steps = [{"event_name": name} for name in ("seen", "put", "paid")]
    asked = {"kind": "funnel", "from": "2026-01-01", "to": "2026-01-03", "by": "session_id", "window": "7d"}
    question = msgspec.convert({**asked, "steps": steps}, Question)
    rows = [
        [1, "seen", 6000, 1.0, 1.0, None],
        [2, "put", 4202, 0.7003, 0.7003, 35.25],
        [3, "paid", 0, 0.0, 0.0, None],
    ]
    chart = build_chart(question, Answer((), rows, [], Cost(1.0)))
    assert chart is not None
    assert [row["figure"] for row in chart.rows] == ["6,000", "4,202 · 70.0 %", "0 · 0.000 %"]
    assert [row["more"] for row in chart.rows] == [
        "",
        "30.0 % lost since the step before · median 35.2 s",
        "100.000 % lost since the step before",
    ]
    assert (
        "2. put: 4,202 reached it, 70.0 % of the first step, 30.0 % lost since the step before, median 35.2 s from it to here"
        in chart.text
    )
    few = [[1, "seen", 3, 1.0, 1.0, None], [2, "put", 2, 0.6667, 0.6667, 1.0]]
    chart = build_chart(
        msgspec.structs.replace(question, steps=question.steps[:2]), Answer((), few, [], Cost(1.0))
    )
    assert chart is not None
    # Two of three: the interval reaches from 21 to 94 %, and has as many decimals.
    assert chart.rows[1]["figure"] == "2 · 66.7 %"


def test_the_empty_text_reads_unlike_nothing():
    """Two groups, one without a value and one of the empty text, have two names."""
    answer = _answer("trend", BENIGN, "day")
    rows = [["2026-01-01T00:00:00Z", value, 1, 2.0] for value in (None, "")]
    chart = build_chart(_question("trend", BENIGN, "day"), msgspec.structs.replace(answer, rows=rows))
    assert chart is not None
    assert [label.label for label in chart.series][::2] == ["(none) · one", "(empty) · one"]


def test_rates_without_a_figure_are_no_picture():
    """Where nothing could be divided there is no box with axes around nothing, over time and by group."""
    for interval in ("day", None):
        answer = _answer("ratio", BENIGN, interval)
        rows = [[*row[:-5], 0, 0, None, None, None] for row in answer.rows]
        question = _question("ratio", BENIGN, interval)
        assert build_chart(question, msgspec.structs.replace(answer, rows=rows)) is None


def test_an_interval_that_is_counted_in_part_is_drawn_apart():
    """The last week of an answer ends with the question: its point is hollow, no line leads to it, and its days are said."""
    asked = {"kind": "trend", "from": "2026-01-05", "to": "2026-01-14", "interval": "week", "series": [{"event_name": "a"}]}  # fmt: skip
    rows = [["2026-01-05T00:00:00Z", 70], ["2026-01-12T00:00:00Z", 20]]
    columns = (Column("time", "time"), Column("a", "integer"))
    chart = build_chart(msgspec.convert(asked, Question), Answer(columns, rows, [], Cost(1.0)))
    assert chart is not None
    assert [(row["y"], row.get("p")) for row in chart.rows] == [(70, None), (None, 20)]
    assert chart.notes == ["The last week is counted in part: Mon to Tue."]
    running = build_chart(
        msgspec.convert({**asked, "to": "2026-01-19"}, Question),
        Answer(columns, rows, [], Cost(1.0)),
        now=datetime(2026, 1, 13, 12, tzinfo=UTC),
    )
    assert running is not None
    assert running.notes == ["The last week is counted in part: Mon to Tue 12:00."]
    assert chart.text == (
        "Line chart, one point per week. a: 1 point, lowest 70 at 2026-01-05, highest 70 at 2026-01-05, last 70."
    )
