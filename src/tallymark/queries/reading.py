"""From the store's rows to figures: numbers become floats, sums are settled, and it notes what a double does not carry exactly.

Comes in: aggregates, and the rows that their SQL gave. Goes out: the figures of each interval, and the aggregates, marked as
exact only where all of their figures are. `grid` calls it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tallymark.queries.measures import LARGE, Aggregate, describe_rounded, is_carried, settle_exactly
from tallymark.queries.question import Selection, Series

# A row is its key, its size, and then its figures.
_FIRST_FIGURE: Final = 2


@dataclass(frozen=True, slots=True)
class Reading:
    """How the figures of rows are read, and what was noted while reading.

    These are places in a row: `numbers` become floats, because the engine writes 12.0 as 12 and `inf` as a text; `sums` are
    settled, each by the magnitude at a second place; `read` are single values, such as a minimum. These are places among the
    aggregates: `rounded` are those with a figure that a double does not carry exactly, `large` those where that may show.
    """

    numbers: list[int]
    sums: list[tuple[int, int]]
    read: list[int]
    rounded: set[int] = field(default_factory=set)
    large: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, aggregates: Sequence[Aggregate]) -> Reading:
        """Return how the figures of these aggregates are read."""
        places = list(enumerate(aggregates, _FIRST_FIGURE))
        first = _FIRST_FIGURE + len(aggregates) + sum(1 for one in aggregates if one.others)
        summed = [place for place, one in places if one.magnitude]
        sums = [(place, first + number) for number, place in enumerate(summed)]
        numbers = [place for place, one in places if one.type == "number"]
        return cls(
            numbers,
            sums,
            [place for place, one in places if place in numbers and one.exact and not one.magnitude],
        )

    def cells(self, rows: list[list[Any]], parts: int = 1) -> dict[int, Sequence[Any]]:
        """Return the rows by their key; `parts` are the groups that were added up in them."""
        for row in rows if self.numbers else ():
            for place in self.numbers:
                if row[place] is not None:
                    row[place] = float(row[place])
            for place, magnitude in self.sums:
                if row[place] is not None:
                    size = float(row[magnitude])
                    row[place], is_exact = settle_exactly(row[place], size, parts)
                    if not is_exact:
                        self._note(place, size)
            for place in self.read:
                if row[place] is not None and not is_carried(row[place]):
                    self._note(place, abs(row[place]))
        return {row[0]: row[1:] for row in rows}

    def mark(
        self, aggregates: Sequence[Aggregate], selections: Sequence[Selection | Series]
    ) -> tuple[list[Aggregate], list[str]]:
        """Return the aggregates, exact only where all figures that were read are, and a sentence for each large one that is not."""
        marked = [
            replace(one, exact=False) if number in self.rounded else one
            for number, one in enumerate(aggregates)
        ]
        notes = [
            describe_rounded(one.measure.op, one.measure.field, one.event_name)
            for number, one in enumerate(selections)
            if number in self.large
        ]
        return marked, notes

    def _note(self, place: int, size: float) -> None:
        self.rounded.add(place - _FIRST_FIGURE)
        if size >= LARGE:
            self.large.add(place - _FIRST_FIGURE)
