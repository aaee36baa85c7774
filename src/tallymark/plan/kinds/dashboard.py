"""A dashboard: panels over metrics on a grid of twelve columns, with one time and one set of filters for all.

What a panel shows is its metrics' business; here stands how: which kind of chart, broken down by what, how large.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, get_args

import msgspec

from tallymark.errors import RequestRefused
from tallymark.plan.words import MAX_TAGS, Name, Prose, ShortText, refuse
from tallymark.queries.fields import parse_breakdown
from tallymark.queries.filters import build_filters
from tallymark.queries.period import build_period
from tallymark.queries.question import GROUPS, Filters, Interval, Text
from tallymark.queries.sql import Parameters

KIND: Final = "dashboard"
PLURAL: Final = "dashboards"
COLUMNS: Final = 12
MAX_PANELS: Final = 40
_LAST: Final = re.compile(r"([1-9][0-9]{0,3})([hdwmy])", re.ASCII)
LENGTHS: Final = "24h, 30d, 12w, 6m, 1y"

_ADDITIVE: Final = frozenset({"count", "sum"})
# Metrics of single numbers, whose distribution can be drawn.
_OF_NUMBERS: Final = frozenset({"sum", "average", "gauge", "quantile"})
_OVER_TIME: Final = ("line", "area", "stacked")
# Kinds that say themselves what they are drawn over, and show one metric.
_WHOLE: Final = ("histogram", "heatmap")

PanelKind = Literal["line", "area", "bar", "stacked", "number", "table", "funnel", "histogram", "heatmap"]


class Panel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One chart. `name` stands in links and embedding tokens; sizes are columns of twelve and rows of 80 pixels."""

    name: Name
    kind: PanelKind
    metrics: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1, max_length=8)]
    title: ShortText = ""
    breakdown: Annotated[tuple[Text, ...], msgspec.Meta(max_length=3)] = ()
    filters: Filters = ()
    interval: Interval | None = None
    compare: Literal["previous", "week", "year"] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 8
    width: Annotated[int, msgspec.Meta(ge=2, le=COLUMNS)] = 6
    height: Annotated[int, msgspec.Meta(ge=1, le=10)] = 4


class Dashboard(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A page of panels. The time is `last` (24h, 30d, 12w, 6m, 1y), or fixed by `from` and `to`."""

    name: Name
    title: ShortText = ""
    description: Prose = ""
    owner: ShortText = ""
    tags: Annotated[tuple[Name, ...], msgspec.Meta(max_length=MAX_TAGS)] = ()
    last: Annotated[str, msgspec.Meta(max_length=6)] = ""
    start: Annotated[str, msgspec.Meta(max_length=64)] = msgspec.field(name="from", default="")
    end: Annotated[str, msgspec.Meta(max_length=64)] = msgspec.field(name="to", default="")
    interval: Interval | None = None
    timezone: Annotated[str, msgspec.Meta(max_length=64)] = "UTC"
    # Seconds between two looks while somebody watches; 0 is never.
    refresh: Annotated[int, msgspec.Meta(ge=0, le=86_400)] = 0
    filters: Filters = ()
    panels: Annotated[tuple[Panel, ...], msgspec.Meta(max_length=MAX_PANELS)] = ()

    def uses(self) -> tuple[str, ...]:
        """Return the names of the metrics that the panels show."""
        return tuple(dict.fromkeys(name for panel in self.panels for name in panel.metrics))


def is_last(text: str) -> bool:
    """Tell whether a text is a length of time that `parse_last` reads."""
    return _LAST.fullmatch(text) is not None


def parse_last(text: str) -> tuple[int, str]:
    """Return a length of time as a number and h, d, w, m or y; raises RequestRefused."""
    found = _LAST.fullmatch(text)
    if found is None:
        raise refuse(f"{text[:20]!r} is no length of time. Allowed: {LENGTHS}.", "last")
    return int(found[1]), found[2]


def check(dashboard: Dashboard, metrics: Mapping[str, Any]) -> None:
    """Raise RequestRefused for a dashboard that could not be shown; paths in errors are the dashboard's own."""
    if bool(dashboard.last) == bool(dashboard.start or dashboard.end):
        raise refuse("Give last, such as 30d, or from and to.", "last")
    if dashboard.last:
        parse_last(dashboard.last)
        build_period("2026-01-01", "2026-01-02", "", dashboard.timezone)
    else:
        build_period(dashboard.start, dashboard.end, "", dashboard.timezone)
    build_filters(dashboard.filters, "filters", Parameters())
    seen: set[str] = set()
    for number, panel in enumerate(dashboard.panels):
        at = f"panels[{number}]"
        if panel.name in seen:
            raise refuse(f"Two panels have the name {panel.name!r}.", f"{at}.name")
        seen.add(panel.name)
        _check_panel(panel, at, metrics)


def _check_panel(panel: Panel, at: str, metrics: Mapping[str, Any]) -> None:
    for place, name in enumerate(panel.metrics):
        if name not in metrics:
            raise refuse(f"There is no metric {name!r}.{_near(name, metrics)}", f"{at}.metrics[{place}]")
    build_filters(panel.filters, f"{at}.filters", Parameters())
    columns = ("time", GROUPS, "figure", "n", "low", "high", "enough")
    parse_breakdown(panel.breakdown, columns, f"{at}.breakdown")
    if len(panel.metrics) > 1 and panel.breakdown and panel.kind != "table":
        message = (
            "Only a table shows several metrics by groups; other panels several metrics, or one by groups."
        )
        raise refuse(message, f"{at}.breakdown")
    units = list(dict.fromkeys(metrics[name].figure_unit for name in panel.metrics))
    if len(units) > 1 and panel.kind in _OVER_TIME:
        named = ", ".join(unit or "none" for unit in units)
        raise refuse(f"One axis has one unit, and these metrics have several: {named}.", f"{at}.metrics")
    _check_kind(panel, at, metrics)


def _check_kind(panel: Panel, at: str, metrics: Mapping[str, Any]) -> None:
    """Raise RequestRefused where the kind of panel cannot show these metrics."""
    kinds = {metrics[name].__struct_config__.tag for name in panel.metrics}
    if panel.kind == "funnel" and (len(panel.metrics) > 1 or kinds != {"funnel"}):
        raise refuse("A funnel panel shows one metric of the kind funnel.", f"{at}.metrics")
    if panel.kind == "bar" and len(panel.metrics) > 1:
        raise refuse("A bar panel shows one metric.", f"{at}.metrics")
    if panel.kind in _WHOLE and (len(panel.metrics) > 1 or panel.breakdown):
        raise refuse(f"A {panel.kind} panel shows one metric, without a breakdown.", f"{at}.metrics")
    if panel.kind == "histogram" and not kinds <= _OF_NUMBERS:
        allowed = ", ".join(sorted(_OF_NUMBERS))
        raise refuse(f"A histogram shows the numbers of a metric of a field: {allowed}.", f"{at}.metrics")
    if panel.kind == "stacked" and not kinds <= _ADDITIVE:
        # Areas on top of each other say that they add up.
        raise refuse(
            f"Only metrics that add up can be stacked: {', '.join(sorted(_ADDITIVE))}.", f"{at}.metrics"
        )
    over_time = panel.kind in _OVER_TIME or (panel.kind == "bar" and not panel.breakdown)
    if over_time and "funnel" in kinds:
        allowed = "number, table, funnel, and bar by groups"
        raise refuse(f"A funnel is counted over the whole time. Allowed: {allowed}.", f"{at}.kind")


def list_panel_kinds(metric: Any, breakdown: Sequence[str] = ()) -> list[str]:
    """Return the kinds of panel that a metric can be shown as by itself, with a breakdown."""
    kinds = []
    for kind in get_args(PanelKind):
        given = {"name": "trial", "kind": kind, "metrics": [metric.name], "breakdown": list(breakdown)}
        try:
            _check_panel(msgspec.convert(given, Panel), "", {metric.name: metric})
        except (RequestRefused, msgspec.ValidationError):
            continue
        kinds.append(kind)
    return kinds


def _near(name: str, metrics: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(metrics), 3)
    return f" Near: {', '.join(near)}." if near else ""
