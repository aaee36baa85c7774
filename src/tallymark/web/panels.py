"""One panel of a dashboard as something to show: its figures, chart or number, and what must be said about it.

A panel that fails says why in its place; the others are not hurt. Dashboards, embeds and exports call this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec
import structlog

from tallymark.errors import TallymarkError
from tallymark.metrics.figures import Figures, list_groups
from tallymark.metrics.rhythm import RHYTHM
from tallymark.plan.kinds.dashboard import Panel
from tallymark.plan.kinds.metric import Conversion, Metric, OfNumbers, Span, Sum
from tallymark.queries.kinds import Question
from tallymark.queries.period import build_period
from tallymark.queries.result import Answer
from tallymark.web.asking import Asker
from tallymark.web.chart import Chart, Figure
from tallymark.web.chart_specs import MAX_SERIES
from tallymark.web.chart_words import Parts, find_parts
from tallymark.web.charts import build_chart
from tallymark.web.drills import build_drills, drill_figures
from tallymark.web.figure_charts import Line, build_figures_chart, build_spark, describe_difference
from tallymark.web.palette import METRICS
from tallymark.web.shades import Shade, shade_chart
from tallymark.web.spans import write_span
from tallymark.web.spread_charts import build_heat_chart, build_histogram_chart
from tallymark.web.tables import Table, build_matrix, build_table
from tallymark.web.texts import show_line

log = structlog.get_logger("tallymark.web")

_MOST_ROWS: Final = 100
NO_FIGURE: Final = "There is no figure in this time."
FAULT: Final = "A fault of ours. The server's log says more."
# How the sentence begins that tells an intermediate metric's caveat, and how one ends that tells of an interval at an end.
_CAVEAT: Final = "An intermediate metric: "
_IN_PART: Final = "is counted in part."


@dataclass(frozen=True, slots=True)
class Number:
    """A figure in large type: how it differs from before, and its course as a small line."""

    figure: Figure
    delta: str = ""
    spark: Chart | None = None
    # The address of the events behind it, '' where there is none.
    drill: str = ""


@dataclass(slots=True)
class View:
    """A panel with what came of it. Exactly one of `chart`, `numbers`, `tables` and `problem` has something in it."""

    panel: Panel
    title: str
    metrics: list[Metric] = field(default_factory=list)
    linked: bool = True
    chart: Chart | None = None
    numbers: list[Number] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    # What was asked, in the order of the metrics, and what for.
    asked: list[Figures | Answer] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    # Sentences that are never folded away: which intervals are counted in part.
    told: list[str] = field(default_factory=list)
    # Those among the notes that are the author's own, of the metrics and of what these are made of.
    caveats: list[str] = field(default_factory=list)
    problem: str = ""
    # Whether that is only for now: too much is asked at once.
    busy: bool = False
    # The same as HTML, once somebody has looked at it; all who look after that get it as it is.
    html: str = ""

    # Of its figures, where they are not those of the metrics.
    unit: str = ""

    @property
    def titles(self) -> list[str]:
        """What each of `asked` is of, in their order."""
        titles = [one.title or one.name for one in self.metrics] or [self.title]
        return [titles[min(place, len(titles) - 1)] for place in range(len(self.asked))]

    @property
    def units(self) -> str:
        """The units of its figures, where these do not say them themselves."""
        return self.unit or ", ".join(dict.fromkeys(one.unit for one in self.metrics if one.unit))

    def caption(self, span: Span) -> str:
        """Return unit, time and time zone in one line: for pictures and places where nothing else says them."""
        return " · ".join(filter(None, (self.units, write_span(span))))


@dataclass(frozen=True, slots=True)
class PanelOrder:
    """A panel as somebody wants it. `linked` lets its figures lead to their events, `shades` are shaded in charts over time.

    `sender` is who wants it: the senders of a project share its places.
    """

    asker: Asker
    panel: Panel
    span: Span
    shades: tuple[Shade, ...] = ()
    linked: bool = True
    sender: str = ""

    @property
    def key(self) -> tuple[str, bytes, int]:
        """What all have in common who want the same panel."""
        parts = [
            self.asker.digest,
            msgspec.json.encode(self.panel),
            msgspec.json.encode(self.span),
            b"linked" if self.linked else b"",
            msgspec.json.encode(self.shades),
        ]
        return self.asker.project, b"\0".join(parts), self.asker.data_version

    def build(self) -> View:
        """Ask and build; blocking."""
        view = build_panel(self.asker, self.panel, self.span, linked=self.linked)
        view.chart = shade_chart(view.chart, self.span, self.shades)
        return view


async def run_panel(order: PanelOrder) -> View:
    """Return one panel, made once for all who want it. It is shared: do not change it.

    Raises RequestRefused (too_many_at_once, overloaded) where so much is asked that it has to wait too long.
    """
    services = order.asker.services

    async def make(begin: Callable[[], None]) -> View:
        def work() -> View:
            begin()
            return order.build()

        return await services.panels.run_for(order.asker.project, order.sender, work)

    view: View = await services.views.get(order.key, make)
    return view


def recall_panel(order: PanelOrder) -> View | None:
    """Return what `run_panel` would return without asking, where that is so."""
    found: View | None = order.asker.services.views.remembered.recall(order.key)
    return found


def build_busy_view(panel: Panel, problem: str) -> View:
    """Return what stands in the place of a panel that was refused for now; the page asks for it again by itself."""
    return View(panel, panel.title or ", ".join(panel.metrics), problem=problem, busy=True)


def build_panel(asker: Asker, panel: Panel, span: Span, *, linked: bool) -> View:
    """Ask and build one panel. What goes wrong is told in the panel."""
    found = [asker.metrics[name] for name in panel.metrics if name in asker.metrics]
    view = View(panel, panel.title or ", ".join(one.title or one.name for one in found), found, linked)
    view.caveats = list(dict.fromkeys(_list_caveats(panel.metrics, asker.metrics)))
    try:
        for name in panel.metrics:
            asker.find(name)
        asker = replace(asker, asked=view.questions)
        own = msgspec.structs.replace(
            span,
            filters=(*span.filters, *panel.filters),
            breakdown=panel.breakdown,
            interval=panel.interval or span.interval,
            limit=panel.limit,
            others=True,
        )
        _BUILDERS[panel.kind](view, asker, own)
    except TallymarkError as error:
        view.problem = error.message
    except Exception:
        log.exception("panel_failed", panel=panel.name)
        view.problem = FAULT
    if not (view.chart or view.numbers or view.tables or view.problem):
        view.problem = NO_FIGURE
    return view


def _list_caveats(names: Sequence[str], metrics: Mapping[str, Metric]) -> Iterator[str]:
    """Yield the notes that tell the caveats of metrics and of those that they are made of."""
    for name in names:
        metric = metrics.get(name)
        if metric is not None:
            yield from [f"{_CAVEAT}{metric.caveat}"] if metric.role == "intermediate" else []
            yield from _list_caveats(metric.uses(), metrics)


def _note(view: View, notes: Sequence[str]) -> None:
    """Add what must be said and is not said yet."""
    for note in notes:
        # The answer's own sentence on such an interval does not say which days it has.
        told = note in view.told or (view.told and note.endswith(_IN_PART))
        if not told and note not in view.notes:
            view.notes.append(note)


def _find_parts(asker: Asker, span: Span) -> Parts:
    """Return the intervals that are counted in part; what has not happened yet cannot have been counted."""
    period = build_period(span.start, span.end, span.interval or "", span.timezone)
    return find_parts(period, asker.services.clock.now())


def _lines(view: View, asker: Asker, span: Span) -> list[Line]:
    lines = []
    for one in view.metrics:
        figures = asker.figures(one.name, span)
        drills = drill_figures(one, span, figures, asker.project) if view.linked else []
        lines.append(Line(one.title or one.name, figures, drills))
    view.asked += [line.figures for line in lines]
    return lines


def _say(view: View, lines: Sequence[Line], told: Sequence[str]) -> None:
    """Say of figures what must be said, and openly which intervals are counted in part."""
    view.told = list(told)
    for line in lines:
        _note(view, line.figures.notes)


def _draw(view: View, asker: Asker, span: Span, mark: str) -> None:
    choose = asker.services.palette.of(asker.project)
    parts = _find_parts(asker, span)
    lines = _lines(view, asker, span)
    chart = build_figures_chart(lines, span.interval or "", mark, choose, parts)
    _say(view, lines, [note for note in parts.notes if chart and note in chart.notes])
    _take(view, chart)


def _build_course(view: View, asker: Asker, span: Span) -> None:
    """Lines, areas or stacked areas over time; groups without a colour of their own stand with the others."""
    _draw(view, asker, msgspec.structs.replace(span, limit=min(span.limit, MAX_SERIES)), view.panel.kind)


def _build_bars(view: View, asker: Asker, span: Span) -> None:
    """Bars: of groups over the whole time where the panel is broken down, else over time."""
    if view.panel.breakdown:
        span = msgspec.structs.replace(span, interval=None)
    _draw(view, asker, span, "bar")


def _build_numbers(view: View, asker: Asker, span: Span) -> None:
    """One large figure per metric, with its comparison and its course."""
    whole = msgspec.structs.replace(span, interval=None, breakdown=())
    parts = _find_parts(asker, span)
    for metric in view.metrics:
        compared = asker.compared(metric.name, whole, view.panel.compare)
        title = metric.title or metric.name
        view.asked.append(compared.figures)
        picture = build_figures_chart([Line(title, compared.figures)], "")
        if picture is None or not picture.figures:
            continue
        delta = describe_difference(compared.figures, compared.compared, view.panel.compare)
        spark = None
        if not isinstance(metric, Conversion):
            course = asker.figures(metric.name, msgspec.structs.replace(span, breakdown=()))
            spark = build_spark(course, span.interval or "", asker.services.palette.of(asker.project), parts)
        view.told += [note for note in (spark.notes if spark else []) if note not in view.told]
        _note(view, compared.figures.notes)
        drills = drill_figures(metric, whole, compared.figures, asker.project) if view.linked else []
        view.numbers.append(Number(picture.figures[0], delta, spark, drills[0] if drills else ""))


def _build_table(view: View, asker: Asker, span: Span) -> None:
    """Figures as rows: by group over the whole time where the panel is broken down, else over time."""
    if view.panel.breakdown:
        span = msgspec.structs.replace(span, interval=None)
    if view.panel.breakdown and len(view.metrics) > 1:
        _build_matrix(view, asker, span)
        return
    lines = _lines(view, asker, span)
    _say(view, lines, _find_parts(asker, span).notes)
    for line in lines:
        figures = line.figures
        if len(figures.rows) > _MOST_ROWS:
            _note(view, [f"The first {_MOST_ROWS} of {len(figures.rows):,} rows."])
        if figures.rows:
            table = build_table(figures, _MOST_ROWS, line.drills, span.interval)
            title = show_line(line.label) if len(view.metrics) > 1 else ""
            view.tables.append(replace(table, title=title))


def _build_matrix(view: View, asker: Asker, span: Span) -> None:
    """Show a row per group and a column per metric; the groups are those of the first metric that has any."""
    lines = []
    for metric in view.metrics:
        figures = asker.figures(metric.name, span)
        if not span.groups:
            span = msgspec.structs.replace(span, groups=list_groups(figures, span))
        lines.append(Line(metric.title or metric.name, figures))
        _note(view, figures.notes)
        view.asked.append(figures)
    table = build_matrix([(line.label, line.figures) for line in lines], len(span.breakdown))
    if table.rows:
        view.tables.append(table)


def _build_funnel(view: View, asker: Asker, span: Span) -> None:
    """All steps of a funnel."""
    (metric,) = view.metrics
    if isinstance(metric, Conversion):
        question = metric.build(msgspec.structs.replace(span, interval=None))
        answer = asker.ask(question)
        view.asked.append(answer)
        view.notes += answer.notes
        drills = build_drills(question, answer, asker.project, len(answer.rows)) if view.linked else []
        _take(view, build_chart(question, answer, asker.services.palette.of(asker.project), drills))


def _build_histogram(view: View, asker: Asker, span: Span) -> None:
    """How the metric's numbers are spread, with a line at its figure."""
    (metric,) = view.metrics
    if not isinstance(metric, OfNumbers):
        return
    question = metric.distribution(span)
    answer = asker.ask(question)
    view.asked.append(answer)
    view.notes += answer.notes
    whole = asker.figures(metric.name, msgspec.structs.replace(span, interval=None, breakdown=()))
    # A sum is no place among the numbers that it is made of.
    figure = whole.rows[0][0] if whole.rows and not isinstance(metric, Sum) else None
    drills = build_drills(question, answer, asker.project, len(answer.rows)) if view.linked else []
    at = figure if isinstance(figure, float) else None
    key = asker.services.palette.of(asker.project)(METRICS, [metric.name])[metric.name]
    title = metric.title or metric.name
    _take(view, build_histogram_chart(answer, metric.figure_unit, drills, at, title, key=key))


def _build_heat_map(view: View, asker: Asker, span: Span) -> None:
    """Draw the metric by weekday and hour."""
    (metric,) = view.metrics
    figures = asker.rhythm(metric.name, span)
    view.asked.append(figures)
    view.notes += figures.notes
    view.unit = next((column.unit or "" for column in figures.columns if column.name == "figure"), "")
    whole = msgspec.structs.replace(span, interval=None, breakdown=RHYTHM, others=False)
    drills = drill_figures(metric, whole, figures, asker.project) if view.linked else []
    _take(view, build_heat_chart(figures, drills))


def _take(view: View, chart: Chart | None) -> None:
    """Show a chart; one that is only figures is shown as numbers."""
    if chart is None:
        return
    _note(view, chart.notes)
    if chart.figures:
        view.numbers = [Number(figure) for figure in chart.figures]
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
    "histogram": _build_histogram,
    "heatmap": _build_heat_map,
}
