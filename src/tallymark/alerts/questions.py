"""What the store is asked for alerts: a metric's figure over a window, once for all alerts that need it.

Comes in: metrics, windows, and who asks. Goes out: figures by value of the breakdown. Windows that are over are remembered:
those of earlier weeks are needed again and again, and do not change.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from tallymark.alerts.windows import Window
from tallymark.errors import RequestRefused
from tallymark.event import OWN_SOURCE
from tallymark.metrics.figures import NOTHING, Figure, ask_metric, find_absent
from tallymark.plan.kinds.alert import Alert
from tallymark.plan.kinds.metric import Metric, Span
from tallymark.queries.ask import Limits, QueryStore
from tallymark.queries.events import list_events
from tallymark.queries.kinds import Question
from tallymark.queries.question import Filter, Filters
from tallymark.queries.result import Answer, Cell

Values = tuple[Cell, ...]
# Columns of a metric's figures behind time and breakdown: figure, n, low, high, enough.
_TAIL: Final = 5
_REMEMBERED: Final = 20_000
_NOT_OWN: Final = Filter(field="source", op="ne", value=OWN_SOURCE)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One figure, or one for each value, that somebody needs. Equal ones are asked once."""

    metric: str
    window: Window
    filters: Filters = ()
    breakdown: tuple[str, ...] = ()
    limit: int = 1
    groups: tuple[Values, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """The answer: a figure by the values of the breakdown. `quiet`: the whole project had no event in that time."""

    figures: Mapping[Values, Figure]
    quiet: bool = False

    def of(self, values: Values, metric: Metric) -> Figure:
        """Return the figure of a value; of one without events what the metric is then. A quiet time has no figure."""
        return self.figures.get(values, find_absent(metric))


class Questions:
    """Asks for one project over one state of its metrics. Thread-safe; equal questions at once are one."""

    def __init__(
        self,
        metrics: Mapping[str, Metric],
        ask: Callable[[Question], Answer],
        is_quiet: Callable[[Window], bool],
    ) -> None:
        self._metrics = metrics
        self._ask = ask
        self._is_quiet = is_quiet
        self._lock = threading.Lock()
        self._found: OrderedDict[Wanted, Future[Found]] = OrderedDict()
        self._lasting: set[Wanted] = set()

    def find(self, wanted: Wanted) -> Found:
        """Return the figures; raises RequestRefused as questions do. Failures are not remembered."""
        with self._lock:
            present = self._found.get(wanted)
            mine = None
            if present is not None:
                # Those that are not needed any more are forgotten first.
                self._found.move_to_end(wanted)
            if present is None:
                mine = self._found[wanted] = Future()
        if mine is None:
            return present.result()  # type: ignore[union-attr]
        try:
            found = self._find(wanted)
        except BaseException as error:
            with self._lock:
                self._found.pop(wanted, None)
            mine.set_exception(error)
            raise
        mine.set_result(found)
        return found

    def forget(self, lasting: set[Wanted]) -> None:
        """Forget all but what is said to last: what was asked before its time was over, and the oldest of too many."""
        with self._lock:
            self._lasting = (self._lasting | lasting) & self._found.keys()
            for wanted in [one for one in self._found if one not in self._lasting]:
                del self._found[wanted]
            while len(self._found) > _REMEMBERED:
                wanted, _ = self._found.popitem(last=False)
                self._lasting.discard(wanted)

    def _find(self, wanted: Wanted) -> Found:
        metric = self._metrics.get(wanted.metric)
        if metric is None:
            raise RequestRefused("not_found", f"There is no metric {wanted.metric!r}.", at="metric")
        # Whether a figure stands on enough events the alert decides (see `conditions.judge`), which may need fewer or more.
        asked = msgspec.structs.replace(metric, minimum_sample=0)
        figures = ask_metric(asked, build_span(wanted), self._ask, self._metrics)
        width = len(wanted.breakdown)
        found = {tuple(row[:width]): _read(row[-_TAIL:]) for row in figures.rows}
        empty = not any(one.n or one.value for one in found.values())
        return Found(found, quiet=empty and self._is_quiet(wanted.window))


def is_quiet(store: QueryStore, project: str, window: Window, limits: Limits) -> bool:
    """Tell whether nothing came in that time but what tallymark says of itself."""
    start, end = window.start.isoformat(), window.end.isoformat()
    found = list_events(store, project, filters=(_NOT_OWN,), start=start, end=end, limit=1, limits=limits)
    return not found.events


def build_wanted(alert: Alert, window: Window, groups: Sequence[Values] = ()) -> Wanted:
    """Return what an alert needs of a window; `groups` instead of the largest."""
    return Wanted(alert.metric, window, alert.filters, alert.breakdown, alert.limit, tuple(groups))


def build_span(wanted: Wanted) -> Span:
    """Return the time and conditions to ask a metric for, in UTC: a window is two moments, whatever the calendar."""
    return Span(
        start=_write(wanted.window.start),
        end=_write(wanted.window.end),
        filters=wanted.filters,
        breakdown=wanted.breakdown,
        limit=wanted.limit,
        groups=wanted.groups,
    )


def _write(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _read(cells: Sequence[Any]) -> Figure:
    value, n, low, high, enough = cells
    return Figure(value, n, low, high, enough=enough is not False) if value is not None else NOTHING
