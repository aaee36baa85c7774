"""One panel of a dashboard as something to show: its figures, chart or number, and what must be said about it.

A panel that fails says why in its place; the others are not hurt. Dashboards call this, a thread for each panel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import structlog

from tallymark.errors import TallymarkError
from tallymark.metrics.figures import Figures, unit_of
from tallymark.plan.kinds.dashboard import Panel
from tallymark.plan.kinds.metric import Conversion, Formula, Metric, Span
from tallymark.queries.kinds import Question
from tallymark.queries.result import Answer
from tallymark.web.asking import Asker
from tallymark.web.charts import Chart, Figure, build_chart
from tallymark.web.drills import drill_figures
from tallymark.web.figure_charts import Line, build_figures_chart, build_spark, describe_difference

log = structlog.get_logger("tallymark.web")

_MOST_ROWS: Final = 100


@dataclass(frozen=True, slots=True)
class Number:
    """A figure in large type: how it differs from before, and its course as a small line."""

    figure: Figure
    delta: str
    spark: Chart | None


@dataclass(slots=True)
class View:
    """A panel with what came of it. Exactly one of `chart`, `numbers`, `tables` and `problem` has something in it."""

    panel: Panel
    title: str
    metrics: list[Metric] = field(default_factory=list)
    linked: bool = True
    chart: Chart | None = None
    numbers: list[Number] = field(default_factory=list)
    tables: list[Figures] = field(default_factory=list)
    # What was asked, in the order of the metrics, and what for.
    asked: list[Figures | Answer] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problem: str = ""
    rows_read: int = 0
    # The same as HTML, once somebody has looked at it; all who look after that get it as it is.
    html: str = ""


def run_panel(asker: Asker, panel: Panel, span: Span, *, linked: bool = True) -> View:
    """Return one panel, as it was built before where nothing has changed since; blocking. It is shared: do not change it.

    `linked` lets its figures lead to their events.
    """
    parts = [
        asker.digest,
        msgspec.json.encode(panel),
        msgspec.json.encode(span),
        b"linked" if linked else b"",
    ]
    key = (asker.project, b"\0".join(parts), asker.data_version)
    view: View = asker.services.views.get(key, lambda: build_panel(asker, panel, span, linked=linked))
    return view


def build_panel(asker: Asker, panel: Panel, span: Span, *, linked: bool) -> View:
    """Ask and build one panel. What goes wrong is told in the panel."""
    found = [asker.metrics[name] for name in panel.metrics if name in asker.metrics]
    view = View(panel, panel.title or ", ".join(one.title or one.name for one in found), found, linked)
    try:
        for name in panel.metrics:
            asker.find(name)
        own = msgspec.structs.replace(
            span,
            filters=(*span.filters, *panel.filters),
            breakdown=panel.breakdown,
            interval=panel.interval or span.interval,
            limit=panel.limit,
        )
        view.questions = [one.build(own) for one in found if not isinstance(one, Formula)]
        _BUILDERS[panel.kind](view, asker, own)
    except TallymarkError as error:
        view.problem = error.message
    except Exception:
        log.exception("panel_failed", panel=panel.name)
        view.problem = "A fault of ours. The server's log says more."
    if not (view.chart or view.numbers or view.tables or view.problem):
        view.problem = "There is no figure in this time."
    return view


def _lines(view: View, asker: Asker, span: Span) -> list[Line]:
    lines = []
    for one in view.metrics:
        figures = asker.figures(one.name, span)
        drills = drill_figures(one, span, figures, asker.project) if view.linked else []
        lines.append(Line(one.title or one.name, figures, drills))
    for line in lines:
        view.notes += [note for note in line.figures.notes if note not in view.notes]
        view.rows_read += line.figures.statistics.rows_read
        view.asked.append(line.figures)
    return lines


def _build_course(view: View, asker: Asker, span: Span) -> None:
    """Lines, areas or stacked areas over time."""
    chart = build_figures_chart(_lines(view, asker, span), span.interval or "", mark=view.panel.kind)
    _take(view, chart)


def _build_bars(view: View, asker: Asker, span: Span) -> None:
    """Bars: of groups over the whole time where the panel is broken down, else over time."""
    if view.panel.breakdown:
        span = msgspec.structs.replace(span, interval=None)
    chart = build_figures_chart(_lines(view, asker, span), span.interval or "", mark="bar")
    _take(view, chart)


def _build_numbers(view: View, asker: Asker, span: Span) -> None:
    """One large figure per metric, with its comparison and its course."""
    whole = msgspec.structs.replace(span, interval=None, breakdown=())
    for metric in view.metrics:
        compared = asker.compared(metric.name, whole, view.panel.compare)
        title = metric.title or metric.name
        picture = build_figures_chart([Line(title, compared.figures)], "")
        if picture is None or not picture.figures:
            continue
        view.notes += [note for note in compared.figures.notes if note not in view.notes]
        view.asked.append(compared.figures)
        before = compared.compared.rows if compared.compared else []
        delta = describe_difference(compared.figures.rows, before, unit_of(metric), view.panel.compare)
        spark = None
        if not isinstance(metric, Conversion):
            course = asker.figures(metric.name, msgspec.structs.replace(span, breakdown=()))
            spark = build_spark(course)
        view.numbers.append(Number(picture.figures[0], delta, spark))


def _build_table(view: View, asker: Asker, span: Span) -> None:
    """Figures as rows: by group over the whole time where the panel is broken down, else over time."""
    if view.panel.breakdown:
        span = msgspec.structs.replace(span, interval=None)
    for line in _lines(view, asker, span):
        figures = line.figures
        if len(figures.rows) > _MOST_ROWS:
            view.notes.append(f"The first {_MOST_ROWS} of {len(figures.rows):,} rows.")
        if figures.rows:
            view.tables.append(msgspec.structs.replace(figures, rows=figures.rows[:_MOST_ROWS]))


def _build_funnel(view: View, asker: Asker, span: Span) -> None:
    """All steps of a funnel."""
    (metric,) = view.metrics
    if isinstance(metric, Conversion):
        question = metric.build(msgspec.structs.replace(span, interval=None))
        answer = asker.ask(question)
        view.rows_read += answer.statistics.rows_read
        view.asked.append(answer)
        view.notes += answer.notes
        _take(view, build_chart(question, answer))


def _take(view: View, chart: Chart | None) -> None:
    """Show a chart; one that is only figures is shown as numbers."""
    if chart is None:
        return
    view.notes += [note for note in chart.notes if note not in view.notes]
    if chart.figures:
        view.numbers = [Number(figure, "", None) for figure in chart.figures]
    else:
        view.chart = chart


_BUILDERS: Final[dict[str, Callable[[View, Asker, Span], Any]]] = {
    "line": _build_course,
    "area": _build_course,
    "stacked": _build_course,
    "bar": _build_bars,
    "number": _build_numbers,
    "table": _build_table,
    "funnel": _build_funnel,
}
