"""Chosen metrics for Prometheus: the figures of the last so long, as gauges with n and interval.

`GET /metrics` calls it for who sends a key. A metric is chosen by its field `scrape`, the length of time that a figure
looks back on. One that cannot be asked is told by a gauge of its own and costs the others nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tallymark.errors import TallymarkError
from tallymark.plan.kinds.metric import Metric, Span
from tallymark.queries.kinds.funnel import parse_window
from tallymark.web.asking import Asker

# Ends of times are whole multiples of it, so that several scrapers share one answer.
_STEP_SECONDS: Final = 10
_LABELS: Final = ("project", "metric", "unit")
_FAMILIES: Final = (
    ("tallymark_figure", "A metric's figure over the time that it looks back on."),
    ("tallymark_figure_n", "How many events stand behind the figure."),
    ("tallymark_figure_low", "The lower end of its 95 % interval."),
    ("tallymark_figure_high", "The upper end of its 95 % interval."),
)


def render_scrape(asker: Asker, now: datetime) -> bytes:
    """Return the project's chosen metrics in Prometheus' text format; blocking."""
    registry = CollectorRegistry()
    registry.register(_Found(asker, now))
    return generate_latest(registry)


class _Found(Collector):
    """Asks while it is collected."""

    def __init__(self, asker: Asker, now: datetime) -> None:
        self._asker = asker
        self._end = now - timedelta(seconds=now.timestamp() % _STEP_SECONDS)

    def describe(self) -> list[GaugeMetricFamily]:
        """Name nothing beforehand: the registry would ask everything twice."""
        return []

    def collect(self) -> list[GaugeMetricFamily]:
        """Ask every chosen metric."""
        families = [GaugeMetricFamily(name, text, labels=_LABELS) for name, text in _FAMILIES]
        failed = GaugeMetricFamily(
            "tallymark_figure_failed", "1 where a metric could not be asked.", labels=_LABELS
        )
        for metric in self._asker.metrics.values():
            if not metric.scrape:
                continue
            labels = (self._asker.project, metric.name, metric.unit)
            try:
                cells = self._ask(metric)
            except TallymarkError:
                failed.add_metric(labels, 1)
                continue
            failed.add_metric(labels, 0)
            for family, cell in zip(families, cells, strict=True):
                if cell is not None:
                    family.add_metric(labels, cell)
        return [*families, failed]

    def _ask(self, metric: Metric) -> list[float | None]:
        """Return figure, n, low and high."""
        start = self._end - timedelta(seconds=parse_window(metric.scrape))
        rows = self._asker.figures(metric.name, Span(start=start.isoformat(), end=self._end.isoformat())).rows
        if not rows:
            return [None, None, None, None]
        figure, n, low, high, _ = rows[0]
        return [cell if isinstance(cell, int | float) else None for cell in (figure, n, low, high)]
