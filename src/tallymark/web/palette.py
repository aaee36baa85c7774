"""One colour for one meaning: the same value of a field, or the same metric, looks the same in every chart of a project.

Charts ask with what they show, and get a key (`s0` to `s7`) for each; the catalog keeps who has which.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from tallymark.catalog.colours import MOST_VALUES, Colours, digest_meaning
from tallymark.web.chart_specs import MAX_SERIES

log = structlog.get_logger("tallymark.web")

# What metrics themselves are the values of, where a chart shows several; no field has a NUL in its name.
METRICS: Final = "\0metric"

# From a field (or `METRICS`) and at most `MAX_SERIES` different values to their keys.
ChooseKeys = Callable[[str, Sequence[str]], dict[str, str]]


def keys_in_order(field: str, values: Sequence[str]) -> dict[str, str]:
    """Return keys by the order of the values: where nobody compares with another chart."""
    del field
    return {value: f"s{place}" for place, value in enumerate(values)}


class Palette:
    """The keys of all projects, read once and kept. Thread-safe."""

    def __init__(self, colours: Colours) -> None:
        self._colours = colours
        self._lock = threading.Lock()
        self._slots: dict[str, dict[str, int]] = {}

    def of(self, project: str) -> ChooseKeys:
        """Return what chooses keys for a project."""
        return lambda field, values: self.choose(project, field, values)

    def choose(self, project: str, field: str, values: Sequence[str]) -> dict[str, str]:
        """Return a key for each of at most `MAX_SERIES` different values, no two the same."""
        slots = {value: self._slot(project, field, value) for value in values}
        if None in slots.values() and (self._slot(project, field) or 0) < MOST_VALUES:
            self._learn(project, field, values)
            slots = {value: self._slot(project, field, value) for value in values}
        wanted = {
            value: int(digest_meaning(field, value), 16) % MAX_SERIES if slot is None else slot % MAX_SERIES
            for value, slot in slots.items()
        }
        # Who was seen first keeps the colour; two that want the same one cannot have it in one chart.
        chosen: dict[str, int] = {}
        for value in sorted(values, key=lambda one: (slots[one] is None, slots[one] or 0, one)):
            free = (wanted[value] + step for step in range(MAX_SERIES))
            chosen[value] = next(key % MAX_SERIES for key in free if key % MAX_SERIES not in chosen.values())
        return {value: f"s{key}" for value, key in chosen.items()}

    def _slot(self, project: str, field: str, value: str | None = None) -> int | None:
        return self._slots.get(project, {}).get(digest_meaning(field, value))

    def _learn(self, project: str, field: str, values: Sequence[str]) -> None:
        """Read the project's numbers, and give one to each value that has none."""
        with self._lock:
            try:
                known = self._colours.list(project)
                if any(digest_meaning(field, value) not in known for value in values):
                    known = self._colours.add(project, field, values)
            except SQLAlchemyError as error:
                # A chart in another colour is better than none.
                log.warning("colours_not_kept", project=project, error=str(error), fix="check the catalog")
                return
            self._slots[project] = known
