"""A funnel's answer as people read it: its shares as texts, with the digits that their 95 % interval supports."""

from __future__ import annotations

import msgspec

from tallymark.metrics.digits import write_figure
from tallymark.queries.kinds.ratio import wilson_interval
from tallymark.queries.result import Answer, Cell

_SHARES = ("conversion_from_previous", "conversion_from_first")


def write_share(share: float | None, of: int) -> str:
    """Write a share of `of` with the digits that Wilson's interval supports: 0.7003 of 1,000 as `70 %`."""
    if share is None or not of or not 0 <= share <= 1:
        return write_figure(share, None, None, "ratio", of)
    return write_figure(share, *wilson_interval(round(share * of), of), "ratio")


def write_steps(answer: Answer) -> Answer:
    """Return a funnel's answer with the texts of its shares; a share that there is not stays None."""
    names = [column.name for column in answer.columns]
    step, reached, previous, first = (names.index(name) for name in ("step", "reached", *_SHARES))
    rows: list[list[Cell]] = []
    base = before = 0
    for row in answer.rows:
        people = int(row[reached] or 0)
        if row[step] == 1:
            base = before = people
        written = list(row)
        for place, of in ((previous, before), (first, base)):
            if written[place] is not None:
                written[place] = write_share(people / of if of else None, of)
        rows.append(written)
        before = people
    return msgspec.structs.replace(answer, rows=rows)
