"""tallymark's own numbers, for `GET /metrics` and for whoever runs it.

Names follow Prometheus: `tallymark_<noun>_<unit>_total`. Labels are from closed lists only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

REGISTRY = CollectorRegistry()


class Sums(Collector):
    """Running totals by one label, without the lock that a counter takes: they are added to at every request.

    One thread adds (the event loop), or a lost addition does no harm (seconds of steps, where two threads that add at the
    same moment may cost a few microseconds).
    """

    def __init__(self, name: str, text: str, label: str) -> None:
        self._family = (name, text, [label])
        self._sums: dict[str, float] = {}

    def add(self, value: str, amount: float) -> None:
        """Add to the total of a label's value."""
        self._sums[value] = self._sums.get(value, 0) + amount

    def totals(self) -> dict[str, float]:
        """Return the totals by the label's values."""
        return self._sums.copy()

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Give the totals to whoever scrapes them."""
        name, text, labels = self._family
        family = CounterMetricFamily(name, text, labels=labels)
        for value, total in self.totals().items():
            family.add_metric([value], total)
        yield family


class Timings:
    """A histogram that also tells each value to a listener, where somebody wants more of it than its buckets."""

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self.listener: Callable[[float], None] | None = None

    def observe(self, seconds: float) -> None:
        """Count a value."""
        self._histogram.observe(seconds)
        if self.listener is not None:
            self.listener(seconds)


STEP_SECONDS = Sums("tallymark_step_seconds", "Time spent in a step of the pipeline.", "step")
EVENTS_RECEIVED = Sums("tallymark_events_received", "Events that reached the journal.", "outcome")
REGISTRY.register(STEP_SECONDS)
REGISTRY.register(EVENTS_RECEIVED)
REQUESTS_TURNED_AWAY = Counter(
    "tallymark_requests_turned_away", "Requests that were refused whole.", ["code"], registry=REGISTRY
)
INTAKE_SECONDS = Timings(
    Histogram(
        "tallymark_intake_seconds",
        "Time from the request's arrival to its answer, at the intake.",
        buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
        registry=REGISTRY,
    )
)
CONNECTIONS_OPEN = Gauge("tallymark_connections_open", "Open connections of clients.", registry=REGISTRY)
CONNECTIONS_CLOSED = Counter(
    "tallymark_connections_closed",
    "Connections that were closed against their clients' wish: to make room (room, address, no_descriptor), "
    "because the client was too slow (head_timeout, body_timeout, slow_reader), or without an answer (no_answer).",
    ["reason"],
    registry=REGISTRY,
)
ANSWERS_REFUSED = Counter(
    "tallymark_answers_refused",
    "Answers that were not given because too many waited for readers that did not read.",
    registry=REGISTRY,
)
JOURNAL_WAITING_BYTES = Gauge(
    "tallymark_journal_waiting_bytes", "Bytes that wait for the disk.", registry=REGISTRY
)
LOADER_LAG_EVENTS = Gauge(
    "tallymark_loader_lag_events", "Events in the journal, not yet in the store.", registry=REGISTRY
)
OWN_FAILURES = Counter(
    "tallymark_own_failures",
    "Samples of the server's own numbers that failed, or a part of them.",
    registry=REGISTRY,
)
WORK_RUNNING = Gauge(
    "tallymark_work_running",
    "Pages, questions and other work beside the event loop that has a place now.",
    ["work"],
    registry=REGISTRY,
)
WORK_WAITING = Gauge(
    "tallymark_work_waiting",
    "Pages, questions and other work beside the event loop that waits for a place now.",
    ["work"],
    registry=REGISTRY,
)
WORK_ENDED = Counter(
    "tallymark_work_ended",
    "Pages, questions and other work beside the event loop, by how it ended: done, failed (it raised an error), "
    "cancelled (nobody waited any more), timeout (it ran into its limit), refused (it got no place).",
    ["work", "outcome"],
    registry=REGISTRY,
)
