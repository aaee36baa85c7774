"""tallymark's own numbers, for `GET /metrics` and for whoever runs it.

Names follow Prometheus: `tallymark_<noun>_<unit>_total`. Labels are from closed lists only.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

REGISTRY = CollectorRegistry()


class StepSeconds(Collector):
    """Seconds spent in each step of the pipeline.

    Without the lock that a counter takes: it is added to for every step of every request, and two threads that add at
    the same moment may cost a few microseconds of a sum of seconds.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def add(self, step: str, seconds: float) -> None:
        """Add seconds to a step's."""
        self._seconds[step] = self._seconds.get(step, 0.0) + seconds

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Give the sums to whoever scrapes them."""
        family = CounterMetricFamily(
            "tallymark_step_seconds", "Time spent in a step of the pipeline.", labels=["step"]
        )
        for step, seconds in self._seconds.copy().items():
            family.add_metric([step], seconds)
        yield family


STEP_SECONDS = StepSeconds()
REGISTRY.register(STEP_SECONDS)
EVENTS_RECEIVED = Counter(
    "tallymark_events_received", "Events that reached the journal.", ["outcome"], registry=REGISTRY
)
REQUESTS_TURNED_AWAY = Counter(
    "tallymark_requests_turned_away", "Requests that were refused whole.", ["code"], registry=REGISTRY
)
INTAKE_SECONDS = Histogram(
    "tallymark_intake_seconds",
    "Time from the request's arrival to its answer, at the intake.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
    registry=REGISTRY,
)
JOURNAL_WAITING_BYTES = Gauge(
    "tallymark_journal_waiting_bytes", "Bytes that wait for the disk.", registry=REGISTRY
)
LOADER_LAG_EVENTS = Gauge(
    "tallymark_loader_lag_events", "Events in the journal, not yet in the store.", registry=REGISTRY
)
