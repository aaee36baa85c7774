"""From a figure to the events behind it: for each row of an answer the link to the search that shows them.

Comes in: a question and its answer. Goes out: links. Pure; the explore page calls it.
"""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from tallymark.metrics.figures import Figures
from tallymark.plan.kinds.metric import Formula, Metric, Span
from tallymark.queries.fields import DERIVED, SKETCH, Type, find_type
from tallymark.queries.filters import find_digest
from tallymark.queries.grid import OfTime
from tallymark.queries.kinds import Question
from tallymark.queries.kinds.change import Change
from tallymark.queries.kinds.funnel import Funnel
from tallymark.queries.kinds.histogram import Histogram, Sample
from tallymark.queries.kinds.ratio import Ratio
from tallymark.queries.period import Period
from tallymark.queries.question import Filter, Selection, Series, Step
from tallymark.queries.result import Answer, Cell
from tallymark.web.filter_rows import FilterRow, build_row, render_rows

_MOST_DRILLS: Final = 1_000
# Longer texts stand in an address as their digest: in any script it stays short, and so does a page of many.
_MOST_VALUE: Final = 256
# Servers and browsers take addresses of at least so many bytes; ours takes more.
_MOST_BYTES: Final = 32 * 1024


def build_drills(question: Question, answer: Answer, project: str, limit: int) -> list[str]:
    """Return one address per row of the answer, for the first `limit` rows: the events of the row's first figure.

    It is empty for groups that stand together: no condition says what they have in common, and where the question's own
    conditions are too long for an address. An interval of which the
    question's time holds only a part leads to the events of that part.
    """
    rows = answer.rows[:limit]
    interval = (question.interval or "") if isinstance(question, OfTime) else ""
    period = question.period()
    whole = (period.start.isoformat(), period.end.isoformat())
    spans = _intervals(answer.rows, period) if interval else {}
    links = []
    for row in rows:
        start, end = spans[str(row[0])] if interval else whole
        first = 1 if interval else 0
        values = row[first : first + len(question.breakdown)]
        if isinstance(question, OfTime) and question.gathers and row[first + len(values)] != 1:
            links.append("")
            continue
        selection = _selection(question, row, len(question.breakdown))
        conditions = _conditions(question, selection, values)
        if isinstance(question, Histogram):
            conditions += _bucket(question, row)
        pairs = [("project", project), ("name", selection.event_name), ("from", start), ("to", end)]
        if any(one.field in DERIVED for one in conditions):
            # An hour or a weekday is that of the question's zone.
            pairs.append(("tz", question.timezone))
        link = "/events?" + urlencode([*pairs, *render_rows(conditions)])
        links.append(link if len(link) <= _MOST_BYTES else "")
    return links


def _selection(question: Question, row: list[Cell], width: int) -> Selection | Series | Step | Sample:
    if isinstance(question, Ratio):
        return question.denominator
    if isinstance(question, Change):
        return question.denominator or question.numerator
    if isinstance(question, Funnel):
        step = row[width]
        return question.steps[step - 1 if isinstance(step, int) else 0]
    return question.of if isinstance(question, Histogram) else question.series[0]


def _bucket(question: Histogram, row: list[Cell]) -> list[FilterRow]:
    """Return the conditions of one bucket. Of a sketch there are only those of the events that have one."""
    if question.of.field == SKETCH:
        return [build_row({"field": SKETCH, "op": "exists"})]
    ends = (("gte", row[0]), ("lt", row[1]))
    return [
        build_row({"field": question.of.field, "op": op, "value": value})
        for op, value in ends
        if value is not None
    ]


def _conditions(
    question: Question, selection: Selection | Series | Step | Sample, values: list[Cell]
) -> list[FilterRow]:
    filters: list[Filter] = [*question.filters, *selection.filters]
    rows = [build_row(msgspec.to_builtins(one)) for one in filters]
    for field, value in zip(question.breakdown, values, strict=True):
        rows.append(build_row(_condition(field, value)))
    return rows


def _condition(field: str, value: Cell) -> dict[str, Any]:
    """Return the filter of one group. Groups are by text, so an attribute's `5` may be a number or a text."""
    if value is None:
        return {"field": field, "op": "exists", "value": False}
    kind = find_type(field)
    if isinstance(value, str) and len(value) > _MOST_VALUE and kind in (Type.TEXT, Type.ANY):
        return {"field": field, "op": "digest", "value": find_digest(value)}
    if kind is Type.TEXTS:
        return {"field": field, "op": "contains", "value": value}
    typed = _typed(value)
    if kind is Type.ANY and typed != value:
        return {"field": field, "op": "in", "value": [value, typed]}
    return {"field": field, "op": "eq", "value": typed if kind in (Type.NUMBER, Type.BOOLEAN) else value}


def _typed(value: Cell) -> Any:
    """Return the number or boolean that a text looks like, else the text."""
    if not isinstance(value, str):
        return value
    try:
        found = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return value
    if isinstance(found, int) and not -(2**63) <= found < 2**64:
        # No number that an event can have: it was sent as a text.
        return value
    return found if isinstance(found, int | float) else value


def _intervals(rows: list[list[Cell]], period: Period) -> dict[str, tuple[str, str]]:
    """Return for each time of the rows that and the one after it; the first and the last keep to the question's time."""
    times = list(dict.fromkeys(str(row[0]) for row in rows))
    found = {begin: (begin, end) for begin, end in pairwise([*times, period.end.isoformat()])}
    if times and datetime.fromisoformat(times[0]) < period.start:
        found[times[0]] = (period.start.isoformat(), found[times[0]][1])
    return found


def drill_figures(metric: Metric, span: Span, figures: Figures, project: str) -> list[str]:
    """Return one address per row of a metric's figures: the events behind it. A formula has none of its own.

    With very many rows there are none either: they would be most of the page.
    """
    if isinstance(metric, Formula) or len(figures.rows) > _MOST_DRILLS:
        return []
    answer = Answer(figures.columns, figures.rows, [], figures.statistics)
    return build_drills(metric.build(span), answer, project, _MOST_DRILLS)
