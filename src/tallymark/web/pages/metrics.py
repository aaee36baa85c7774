"""`/catalogue`: all metrics, those that matter by themselves first. `/metric`: one, with its figures and what moved it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, get_args

import msgspec
from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler

from tallymark.catalog.definitions import Definition, Use
from tallymark.errors import RequestRefused, TallymarkError
from tallymark.metrics.digits import EXACT, NOTHING, write_figure, write_number
from tallymark.metrics.explain import DEFAULT_VALUES, find_obstacle
from tallymark.metrics.periods import COMPARISONS, Comparison
from tallymark.metrics.steps import write_share, write_steps
from tallymark.plan.changes import collect_objects
from tallymark.plan.kinds.dashboard import list_panel_kinds
from tallymark.plan.kinds.metric import Conversion, Metric, Quantile, Rate, Span
from tallymark.plan.objects import render_yaml
from tallymark.plan.references import find_users
from tallymark.queries.fields import DERIVED
from tallymark.queries.names import MOST_COUNTED, count_values, find_newest, list_fields
from tallymark.queries.period import build_period
from tallymark.queries.question import Interval
from tallymark.queries.result import Answer, Cell, read_number
from tallymark.web.asking import Asker, ComparedFigures, open_asker
from tallymark.web.bells import list_bells
from tallymark.web.boards import list_boards
from tallymark.web.chart_specs import MAX_SERIES
from tallymark.web.chart_words import find_parts
from tallymark.web.charts import build_chart
from tallymark.web.drills import build_drills, drill_figures
from tallymark.web.figure_charts import COMPARISON_WORDS, Line, build_figures_chart, describe_difference
from tallymark.web.needs import find_unused
from tallymark.web.pages.html import build_link, render_html
from tallymark.web.pages.routes import find_status, get_page
from tallymark.web.pages.sessions import Visit, open_visit
from tallymark.web.pages.static import runtime_version
from tallymark.web.parameters import flag, free, handled, one_of
from tallymark.web.services import Services
from tallymark.web.shades import find_shades, shade_chart
from tallymark.web.spans import PRESETS, TIMES, Wanted, find_span, read_wanted
from tallymark.web.tables import build_table

UNUSED_DAYS: Final = 30
_DEFAULT_DAYS: Final = 30
_DEFAULT: Final = Wanted(last=f"{_DEFAULT_DAYS}d")
# Compares with nothing.
_NO_COMPARISON: Final = "none"
_COMPARE: Final = one_of("compare", (*COMPARISONS, _NO_COMPARISON))
_DIMENSIONS: Final = 6
# A field with one value splits nothing, and one with more than these nobody reads; what most events lack says which
# events they are, and not what they are like.
_VALUES: Final = (2, MOST_COUNTED)
_MOST_MISSING: Final = 0.5
_MOST_CANDIDATES: Final = 60
# The same for all events of a metric, or of no meaning to it.
_SAME: Final = ("event_id", "event_name", "event_type", "source")
_MOST_ROWS: Final = 300
# Of a breakdown: as many as have a colour.
_GROUPS: Final = MAX_SERIES
_CONTRIBUTION_DIGITS: Final = 3


@dataclass(frozen=True, slots=True)
class Listed:
    """A metric as the catalogue shows it: its definition, and who asked it in the last days (None: nobody).

    `is_orphan`: it has no owner, or one that nobody who signs in is or follows. `is_unused`: as the home page tells it.
    """

    metric: Metric
    definition: Definition
    use: Use | None
    is_orphan: bool
    is_unused: bool


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""

    @get_page("/catalogue", free("q"), flag("unused"), flag("orphans"))
    async def show_catalogue(request: Request[Any, Any, Any]) -> Response[bytes]:
        """List the project's metrics; `q` searches names, titles, owners and tags, `unused` and `orphans` leave only those."""
        visit = await open_visit(request, services)
        listed = await services.read(visit.project, _list_metrics, services, visit.project)
        found = [one for one in listed if _matches(one, visit.fields.get("q", ""))]
        if visit.fields.get("unused"):
            found = [one for one in found if one.is_unused]
        if visit.fields.get("orphans"):
            found = [one for one in found if one.is_orphan]
        values = visit.page(
            "/catalogue",
            listed=found,
            total=len(listed),
            unused=sum(one.is_unused for one in listed),
            search=visit.fields.get("q", ""),
            only_orphans=bool(visit.fields.get("orphans")),
            orphans=sum(one.is_orphan for one in listed),
            narrowed=any(visit.fields.get(name) for name in ("q", "unused", "orphans")),
            days=UNUSED_DAYS,
            now=services.clock.now(),
        )
        return render_html(request, "catalogue.html", values)

    @get_page("/metric", handled("name"), *TIMES, handled("by"), _COMPARE, handled("dimensions"))
    async def show_metric(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Show one metric: figures, chart, table, what moved it, its definition and where it is used."""
        visit = await open_visit(request, services)
        name = visit.fields.get("name", "")
        definition = await services.read(
            visit.project, services.definitions.find, visit.project, "metric", name
        )
        if definition is None:
            raise RequestRefused("not_found", f"There is no metric {name[:80]!r}.", at="name")
        services.uses.note(visit.project, "metric", name, visit.session.person)
        values = await services.ask(visit.project, _read_metric, services, visit, definition)
        return render_html(request, "metric.html", visit.page("/catalogue", **values), values["status"])

    return [show_catalogue, show_metric]


def _list_metrics(services: Services, project: str) -> list[Listed]:
    present = services.definitions.list(project)
    objects = collect_objects(present)
    since = services.clock.now() - timedelta(days=UNUSED_DAYS)
    uses = services.definitions.list_uses(project, "metric", since.date())
    unused = find_unused(present, objects, uses, since)
    looked_after = services.follows.list_looked_after(project)
    listed = []
    for one in present:
        if one.kind != "metric":
            continue
        metric = objects["metric"][one.name]
        is_orphan = not {metric.owner, metric.owner.casefold()} & looked_after
        listed.append(Listed(metric, one, uses.get(one.name), is_orphan, one.name in unused))
    return sorted(listed, key=lambda one: (one.metric.role != "leaf", one.metric.name))


def _matches(one: Listed, search: str) -> bool:
    metric = one.metric
    text = " ".join((metric.name, metric.title, metric.owner, *metric.tags)).casefold()
    return all(word in text for word in search.casefold().split())


def _read_metric(services: Services, visit: Visit, definition: Definition) -> dict[str, Any]:
    """Ask, and gather what the page shows; blocking."""
    asker = open_asker(services, visit.project)
    metric = asker.find(definition.name)
    wanted, older = _find_time(services, asker, metric, visit)
    breakdown = tuple(name for name in visit.fields.get("by", "").replace(",", " ").split() if name)
    comparison = next((one for one in COMPARISONS if one == visit.fields.get("compare", "previous")), None)
    shown: dict[str, Any] = {"error": None, "status": 200, **_EMPTY, "older": older}
    bells = list_bells(services, visit.project).get(metric.name, [])
    try:
        span = find_span(wanted, services.clock.now(), breakdown=breakdown)
        shown |= _ask(asker, metric, span, comparison)
        places = find_shades(services, visit.project, {metric.name: bells}, span)
        shades = places.get(metric.name, ())
        shown["chart"] = shade_chart(shown["chart"], span, shades)
        shown["shaded"] = bool(shades)
        shown |= _explain(asker, services, metric, span, comparison, visit)
    except TallymarkError as failed:
        shown |= {
            "error": {"message": failed.message, "at": failed.at, "code": failed.code},
            "status": find_status(failed),
        }

    def link(**changes: str) -> str:
        kept = {
            name: value for name, value in visit.fields.items() if name not in _TIMES or "last" not in changes
        }
        return build_link("/metric", {**kept, "project": visit.project, **changes})

    return {
        **_read_definition(services, visit, definition, metric),
        "wanted": wanted,
        "bells": bells,
        "by": " ".join(breakdown),
        "kept": [(name, visit.fields[name]) for name in _KEPT if visit.fields.get(name)],
        "comparison": comparison or _NO_COMPARISON,
        "comparisons": COMPARISON_WORDS,
        "intervals": get_args(Interval),
        "presets": [(title, link(last=last), wanted.last == last) for title, last in PRESETS],
        "api": _api_link(visit, metric.name, shown["span"]),
        "runtime": runtime_version(),
        "now": services.clock.now(),
        **shown,
    }


def _find_time(services: Services, asker: Asker, metric: Metric, visit: Visit) -> tuple[Wanted, str]:
    """Return the time that is shown: without one in the address the last 30 days, or those up to the newest event.

    The second is what must be said where its newest event is older than that.
    """
    wanted = read_wanted(visit.fields, _DEFAULT)
    if any(visit.fields.get(name) for name in _TIMES):
        return wanted, ""
    names = {name for one in _all_parts(asker, metric) for name in one.event_names()}
    try:
        zone = build_period("2026-01-01", "2026-01-02", "", wanted.timezone).zone
        newest = find_newest(services.store, visit.project, sorted(names))
    except TallymarkError:
        # Whoever asks the metric says what is wrong.
        return wanted, ""
    if newest is None or services.clock.now() - newest < timedelta(days=_DEFAULT_DAYS):
        return wanted, ""
    end = newest.astimezone(zone).date() + timedelta(days=1)
    start = end - timedelta(days=_DEFAULT_DAYS)
    text = f"Its newest event is of {newest.astimezone(zone):%Y-%m-%d}: shown are the {_DEFAULT_DAYS} days up to it."
    return replace(wanted, last="", start=start.isoformat(), end=end.isoformat()), text


def _all_parts(asker: Asker, metric: Metric) -> list[Metric]:
    """Return a metric and all that it is made of."""
    found = {metric.name: metric}
    waiting = [metric]
    while waiting:
        for name in waiting.pop().uses():
            if name in asker.metrics and name not in found:
                found[name] = asker.metrics[name]
                waiting.append(found[name])
    return list(found.values())


def _read_definition(
    services: Services, visit: Visit, definition: Definition, metric: Metric
) -> dict[str, Any]:
    """Return what the page says of the definition: its text, who uses and asks it, where it can be put."""
    present = services.definitions.list(visit.project)
    objects = collect_objects(present)
    since = services.clock.now().date() - timedelta(days=UNUSED_DAYS)
    uses = services.definitions.list_uses(visit.project, "metric", since)
    return {
        "boards": list_boards(present),
        "panel_kinds": list_panel_kinds(metric),
        "metric": metric,
        "definition": definition,
        "kind": metric.__struct_config__.tag,
        "yaml": render_yaml({"metric": [metric]}),
        "users": find_users(objects, "metric", metric.name),
        "use": uses.get(metric.name),
        "days": UNUSED_DAYS,
    }


_TIMES: Final = ("last", "from", "to")
_KEPT: Final = (*_TIMES, "interval", "by", "compare", "tz")
_EMPTY: Final[dict[str, Any]] = {
    "chart": None, "headline": None, "delta": "", "figures": None, "table": None, "span": None, "explained": None,
    "explained_unit": "", "explained_notes": [],
    "why_not": "", "dimensions": "", "can_split": True, "older": "",
}  # fmt: skip


def _ask(asker: Asker, metric: Metric, span: Span, comparison: Comparison | None) -> dict[str, Any]:
    """Return chart, table, and the one figure of the whole time with its comparison."""
    if isinstance(metric, Conversion):
        return _ask_funnel(asker, metric, span, comparison)
    span = msgspec.structs.replace(span, others=True, limit=_GROUPS)
    whole = msgspec.structs.replace(span, interval=None, breakdown=())
    one = asker.compared(metric.name, whole, comparison)
    figures = asker.figures(metric.name, span)
    title = metric.title or metric.name
    drills = drill_figures(metric, span, figures, asker.project)
    interval = (span.interval or "") if any(column.name == "time" for column in figures.columns) else ""
    parts = find_parts(
        build_period(span.start, span.end, interval, span.timezone), asker.services.clock.now()
    )
    return {
        **_headline(metric, one, comparison),
        "span": span,
        "chart": build_figures_chart(
            [Line(title, figures, drills)],
            interval,
            choose=asker.services.palette.of(asker.project),
            parts=parts,
        ),
        "figures": figures,
        "table": build_table(figures, _MOST_ROWS, drills, interval),
    }


def _ask_funnel(
    asker: Asker, metric: Conversion, span: Span, comparison: Comparison | None
) -> dict[str, Any]:
    """Return the same of a funnel, which is counted over the whole time: its chart and its table have all its steps."""
    span = msgspec.structs.replace(span, interval=None, limit=_GROUPS)
    one = asker.compared(metric.name, msgspec.structs.replace(span, breakdown=()), comparison)
    question = metric.build(span)
    answer = asker.ask(question)
    drills = build_drills(question, answer, asker.project, len(answer.rows))
    return {
        **_headline(metric, one, comparison),
        "span": span,
        "chart": build_chart(question, answer, asker.services.palette.of(asker.project), drills),
        "figures": msgspec.structs.replace(asker.figures(metric.name, span), rows=answer.rows),
        "table": build_table(write_steps(answer), _MOST_ROWS, drills),
    }


def _headline(metric: Metric, one: ComparedFigures, comparison: Comparison | None) -> dict[str, Any]:
    """Return the figure of the whole time, and how it differs from the compared one."""
    headline = build_figures_chart([Line(metric.title or metric.name, one.figures)], "")
    return {
        "headline": headline.figures[0] if headline and headline.figures else None,
        "delta": describe_difference(one.figures, one.compared, comparison),
    }


def _explain(
    asker: Asker, services: Services, metric: Metric, span: Span, comparison: Comparison | None, visit: Visit
) -> dict[str, Any]:
    """Return what the change is made of, or why that cannot be told."""
    if comparison is None:
        return {"why_not": "Choose a time to compare with."}
    obstacle = find_obstacle(metric)
    if obstacle:
        return {"why_not": obstacle, "can_split": False}
    fields = visit.fields.get("dimensions", "").replace(",", " ").split()
    dimensions = tuple(fields) or _choose_dimensions(services, visit.project, metric)
    try:
        asked = msgspec.structs.replace(span, breakdown=(), limit=DEFAULT_VALUES)
        answer = asker.explain(metric.name, asked, comparison, dimensions)
    except RequestRefused as refusal:
        # Whoever typed wrong fields made a mistake; of what cannot be split nobody did.
        status = {"status": refusal.status} if refusal.at.startswith("dimensions") else {}
        return {"why_not": refusal.message, "dimensions": " ".join(fields), **status}
    if not answer.rows:
        return {"why_not": " ".join(answer.notes), "dimensions": " ".join(fields)}
    # Of a quantile the share of values above the figure before is split.
    is_share = isinstance(metric, Quantile) or (isinstance(metric, Rate) and metric.is_share)
    unit = "ratio" if isinstance(metric, Quantile) else metric.figure_unit
    return {
        "explained": group_explanation(answer, unit, metric.minimum_sample, is_share=is_share),
        "explained_unit": unit,
        "explained_notes": answer.notes,
        "dimensions": " ".join(dimensions),
    }


def _choose_dimensions(services: Services, project: str, metric: Metric) -> tuple[str, ...]:
    """Return the fields that people split by, those of the fewest values first, and the hour.

    They are texts of 2 to 100 values among the newest events of all of the metric's names, which most of these have, and
    which the metric does not filter by itself.
    """
    own = {condition.field for one in _selections(metric) for condition in getattr(one, "filters", ())}
    values: dict[str, int] = {}
    for number, event in enumerate(metric.event_names()):
        names = [
            field.name
            for field in list_fields(services.store, project, event)
            if list(field.types) == ["text"] and field.name not in {*DERIVED, *_SAME, *own}
        ]
        spreads = count_values(services.store, project, event, names[:_MOST_CANDIDATES])
        fit = {
            one.name: one.values
            for one in spreads
            if _VALUES[0] <= one.values <= _VALUES[1] and one.present >= 1 - _MOST_MISSING
        }
        values = fit if not number else {name: max(values[name], fit[name]) for name in values if name in fit}
    found = sorted(values, key=lambda name: values[name])
    # The hour explains much, and no sender has to send it.
    return (*found[: _DIMENSIONS - 1], "event_hour")


def _selections(metric: Metric) -> list[Any]:
    """Return what of a metric can have an event's name and conditions: itself, or its sides or steps."""
    sides = [getattr(metric, name, None) for name in ("numerator", "denominator")]
    return [one for one in (metric, *sides, *getattr(metric, "steps", ())) if one is not None]


@dataclass(frozen=True, slots=True)
class Explained:
    """A field and its values by what they contribute; widths are shares of the largest contribution."""

    name: str
    rows: list[dict[str, Any]]


def group_explanation(
    answer: Answer, unit: str, minimum_sample: int = 0, *, is_share: bool = False
) -> list[Explained]:
    """Return an explanation by field, with the width of each bar in per cent, and figures, contribution and n as texts.

    Figures have the digits that they have elsewhere: of a share those of its interval at that n. `weak` of a row says why
    it is too little to rely on, '' where it is enough.
    """
    names = [column.name for column in answer.columns]
    rows = [dict(zip(names, row, strict=True)) for row in answer.rows]
    largest = max((abs(read_number(one["contribution"]) or 0.0) for one in rows), default=0.0) or 1.0
    exact = any(column.name == "contribution" and column.in_full for column in answer.columns)
    fields: dict[str, list[dict[str, Any]]] = {}
    for one in rows:
        contribution = float(read_number(one["contribution"]) or 0.0)
        samples = [one["n_before"], one["n_after"]]
        counted = [n for n in samples if isinstance(n, int)]
        weak = [n for n in counted if n < minimum_sample]
        before, after = (
            _write_side(read_number(one[side]), n, unit, is_share=is_share, exact=exact)
            for side, n in zip(("before", "after"), samples, strict=True)
        )
        row: dict[str, Any] = {
            **one,
            "before": before,
            "after": after,
            "contribution": contribution,
            "width": round(100 * min(abs(contribution) / largest, 1)) if math.isfinite(contribution) else 100,
            "text": write_contribution(contribution, unit, exact=exact),
            "n": f"n = {counted[0]:,} \N{RIGHTWARDS ARROW} {counted[1]:,}"
            if len(counted) == len(samples)
            else "",
            "weak": f"fewer than {minimum_sample:,}" if weak else "",
        }
        fields.setdefault(str(one["dimension"]), []).append(row)
    return [Explained(name, rows) for name, rows in fields.items()]


def _write_side(value: float | None, n: Cell, unit: str, *, is_share: bool, exact: bool = False) -> str:
    """Write a figure before or after; units other than per cent stand above them all."""
    sample = n if isinstance(n, int) else None
    if exact:
        return write_figure(value, None, None, "", EXACT)
    if is_share and sample:
        return write_share(value, sample)
    return write_figure(value, None, None, "ratio" if unit == "ratio" else "", sample)


def write_contribution(value: float, unit: str, *, exact: bool = False) -> str:
    """Write by how much something moved a figure, with its sign: shares in percentage points with one decimal.

    Exact figures keep all digits, others three significant ones, whole ones all.
    """
    if not math.isfinite(value):
        return NOTHING
    if exact and value:
        return f"{'+' if value > 0 else ''}{write_number(value, None)}"
    if unit == "ratio":
        # A rate changes by percentage points: per cent of what would be another figure.
        return f"{round(value * 100, 1) or 0.0:+.1f} pp".replace("+0.0", "0.0")
    if float(value).is_integer():
        return f"{int(value):+,}" if value else "0"
    places = max(0, _CONTRIBUTION_DIGITS - 1 - math.floor(math.log10(abs(value))))
    return f"{value:+,.{min(places, 12)}f}"


def _api_link(visit: Visit, name: str, span: Span | None) -> str:
    if span is None:
        return ""
    fields = {
        "from": span.start,
        "to": span.end,
        "interval": span.interval,
        "breakdown": ",".join(span.breakdown),
    }
    return visit.address + build_link(f"/v1/metrics/{name}/figures", fields)
