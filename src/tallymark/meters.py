"""tallymark's own numbers, for `GET /metrics` and for whoever runs it.

Names follow Prometheus: `tallymark_<noun>_<unit>_total`. Labels are from closed lists only.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

STEP_SECONDS = Counter(
    "tallymark_step_seconds", "Time spent in a step of the pipeline.", ["step"], registry=REGISTRY
)
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
