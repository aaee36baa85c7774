"""What the store is asked for alerts: a metric's figure over a window, once for all alerts that need it.

Comes in: metrics, windows, and who asks. Goes out: figures by value of the breakdown. Windows that are over are remembered:
those of earlier weeks are needed again and again, and do not change.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

from tallymark.alerts.values import Values
from tallymark.alerts.windows import Window
from tallymark.errors import RequestRefused
from tallymark.metrics.figures import NOTHING, Figure, find_absent, find_figures, is_in_full
from tallymark.plan.kinds.alert import Alert
from tallymark.plan.kinds.metric import Metric, Span
from tallymark.queries.events import Present
from tallymark.queries.kinds import Question
from tallymark.queries.question import Filters
from tallymark.queries.result import Answer

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
# Figures by value of the breakdown, and whether they are no estimates.
_Figures = tuple[Mapping[Values, Figure], bool]

_REMEMBERED: Final = 20_000
# Of one who asks for many, so many wait for a thread.
_AT_ONCE: Final = 6
# In windows up to this length it is looked first which events came: most metrics had none, or none since they were asked, and
# need no question. In longer ones that would read more than the questions do.
_SHORT: Final = timedelta(hours=1)


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
    """The answer: a figure by the values of the breakdown. `quiet`: the whole project had no event in that time.

    `absent` is the figure of a value without events. `exact` says that the figures are no estimates.
    """

    figures: Mapping[Values, Figure]
    quiet: bool = False
    absent: Figure = NOTHING
    exact: bool = False

    def of(self, values: Values) -> Figure:
        """Return the figure of a value; of one without events what the metric is then."""
        return self.figures.get(values, self.absent)


class Questions:
    """Asks for one project over one state of its metrics. Thread-safe; equal questions at once are one."""

    def __init__(
        self,
        metrics: Mapping[str, Metric],
        ask: Callable[[Question], Answer],
        look: Callable[[Window], Present],
    ) -> None:
        self._metrics = metrics
        self._ask = ask
        self._look = look
        self._lock = threading.Lock()
        self._found: OrderedDict[Wanted, Future[Found]] = OrderedDict()
        self._lasting: set[Wanted] = set()
        # What came in windows that were looked at in this round.
        self._present: OrderedDict[Window, Future[Present]] = OrderedDict()
        # Of short windows that will be judged again: how many of the metric's events there were, and the figures.
        self._counted: OrderedDict[Wanted, tuple[tuple[int, ...], _Figures]] = OrderedDict()

    def find(self, wanted: Wanted) -> Found:
        """Return the figures; raises RequestRefused as questions do. Failures are not remembered."""
        return self._share(self._found, wanted, lambda: self._find(wanted))

    def find_all(self, wanted: Iterable[Wanted], pool: Executor) -> list[Exception]:
        """Ask for many at once, and each only once; returns what went wrong, which who needs it hears as well."""

        def find(one: Wanted) -> Exception | None:
            try:
                self.find(one)
            except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to this question
                return error
            return None

        errors: list[Exception | None] = []
        waiting: set[Future[Exception | None]] = set()
        for one in dict.fromkeys(wanted):
            if len(waiting) >= _AT_ONCE:
                # Whoever asks for much has but a few in the queue: who comes later with little is not behind all of it.
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                errors += [ended.result() for ended in done]
            waiting.add(pool.submit(find, one))
        errors += [ended.result() for ended in waiting]
        return [error for error in errors if error is not None]

    def _share(self, table: OrderedDict[K, Future[T]], key: K, make: Callable[[], T]) -> T:
        """Return what is known, or find it out; who asks for it meanwhile waits for that."""
        with self._lock:
            known = table.get(key)
            if known is not None:
                # Those that are not needed any more are forgotten first.
                table.move_to_end(key)
            else:
                mine = table[key] = Future()
        if known is not None:
            return known.result()
        try:
            made = make()
        except BaseException as error:
            with self._lock:
                table.pop(key, None)
            mine.set_exception(error)
            raise
        mine.set_result(made)
        return made

    def forget(self, lasting: set[Wanted]) -> None:
        """Forget all but what is said to last: what was asked before its time was over, and the oldest of too many."""
        with self._lock:
            self._present.clear()
            for wanted in lasting:
                self._counted.pop(wanted, None)
            while len(self._counted) > _REMEMBERED:
                self._counted.popitem(last=False)
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
        counts = self._count(metric, wanted.window)
        known = self._counted.get(wanted)
        if counts is not None and not any(counts):
            asked: _Figures = {}, is_in_full(metric, self._metrics)
        elif counts is not None and known is not None and known[0] == counts:
            # Events only ever are added: as many as then are those of then.
            asked = known[1]
        else:
            asked = self._ask_figures(metric, wanted)
            if counts is not None:
                with self._lock:
                    self._counted[wanted] = (counts, asked)
        figures, exact = asked
        empty = not any(one.has_events for one in figures.values())
        return Found(
            figures,
            quiet=empty and self._find_present(wanted.window).quiet,
            absent=find_absent(metric, self._metrics),
            exact=exact,
        )

    def _count(self, metric: Metric, window: Window) -> tuple[int, ...] | None:
        """Return how many of each of a metric's events came in a short window; None where that is not looked at."""
        names = metric.event_names()
        if not names or window.end - window.start > _SHORT:
            return None
        events = self._find_present(window).events
        return None if events is None else tuple(events.get(name, 0) for name in names)

    def _ask_figures(self, metric: Metric, wanted: Wanted) -> _Figures:
        # Whether a figure stands on enough events the alert decides (see `conditions.judge`), which may need fewer or more.
        figures, exact = find_figures(metric, build_span(wanted), self._ask, self._metrics)
        return {values: _read(one) for values, one in figures.items()}, exact

    def _find_present(self, window: Window) -> Present:
        return self._share(self._present, window, lambda: self._look(window))


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


def _read(figure: Figure) -> Figure:
    """Return a figure as alerts know it: where there is none, all that is known is whether events came."""
    return figure if figure.value is not None else replace(NOTHING, came=figure.has_events)
