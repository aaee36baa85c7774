"""Chosen metrics for Prometheus: the figures of the last so long, as gauges with n and interval.

`GET /metrics` calls it for who sends a key. A metric is chosen by its field `scrape`, the length of time that a figure
looks back on. One that cannot be asked, or has no figure, is told by gauges of their own and costs the others nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
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
    (
        "tallymark_figure_enough",
        "1 where the figure stands on enough events to rely on, 0 where it does not.",
    ),
    ("tallymark_figure_missing", "1 where there is no figure, such as when no such event was ever seen."),
)
_MOST_HELP: Final = 4_000


def list_chosen(asker: Asker) -> list[Metric]:
    """Return the metrics that Prometheus is given."""
    return [metric for metric in asker.metrics.values() if metric.scrape]


def read_scrape(asker: Asker, now: datetime) -> CollectorRegistry:
    """Return the project's chosen metrics as they are now; blocking."""
    registry = CollectorRegistry()
    registry.register(_Asked(_Found(asker, now).collect()))
    return registry


def render_exposition(registries: Iterable[CollectorRegistry], accept: str) -> tuple[bytes, str]:
    """Return the registries' numbers and their media type: OpenMetrics where Accept asks for it, else Prometheus' text.

    One encoding of all, since OpenMetrics has one end. An Accept that cannot be read asks for nothing.
    """
    encode: Callable[[Collector], bytes] = generate_latest
    media_type = CONTENT_TYPE_LATEST
    # Of a version that is none the library compares a text with a number.
    with contextlib.suppress(TypeError, ValueError):
        encode, media_type = choose_encoder(accept)
    return encode(Both(registries)), media_type


class Both(CollectorRegistry):
    """Several registries as one, for one exposition."""

    def __init__(self, registries: Iterable[CollectorRegistry]) -> None:
        super().__init__()
        self._registries = tuple(registries)

    def collect(self) -> Iterator[Family]:
        """Give the families of each."""
        for registry in self._registries:
            yield from registry.collect()


class _Asked(Collector):
    """Families that were asked already."""

    def __init__(self, families: list[GaugeMetricFamily]) -> None:
        self._families = families

    def collect(self) -> list[GaugeMetricFamily]:
        """Give them."""
        return self._families


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
        chosen = list_chosen(self._asker)
        caveats = self._caveats(chosen)
        families = [
            GaugeMetricFamily(name, text + ("" if number else caveats), labels=_LABELS)
            for number, (name, text) in enumerate(_FAMILIES)
        ]
        failed = GaugeMetricFamily(
            "tallymark_figure_failed", "1 where a metric could not be asked.", labels=_LABELS
        )
        for metric in chosen:
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
        """Return a figure with its n, low and high, whether that is enough, and whether there is none."""
        start = self._end - timedelta(seconds=parse_window(metric.scrape))
        rows = self._asker.figures(metric.name, Span(start=start.isoformat(), end=self._end.isoformat())).rows
        figure, n, low, high, enough = rows[0] if rows else (None, None, None, None, False)
        cells = [cell if isinstance(cell, int | float) else None for cell in (figure, n, low, high)]
        return [*cells, int(enough is True and figure is not None), int(figure is None)]

    def _caveats(self, chosen: list[Metric]) -> str:
        """Return what nobody must conclude from the chosen metrics, and from those that they are made of."""
        names = list(dict.fromkeys(name for one in chosen for name in (one.name, *one.uses())))
        found = [one for name in names if (one := self._asker.metrics.get(name)) is not None]
        return "".join(f" {one.name}: {one.caveat}" for one in found if one.role == "intermediate")[
            :_MOST_HELP
        ]
