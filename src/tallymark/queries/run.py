"""Asks the store: a question in, an answer out.

Comes in: a question, the store, the project that may be seen, limits. Goes out: an `Answer`. The web room calls it in
a thread of its own; the CLI calls it directly. One statement per question; a second one where the exact form would
read too much or where groups beyond the limit are asked as one, and looks for names only when something was not found.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import replace
from typing import Any

from tallymark.queries.ask import DEFAULT_LIMITS, Limits, QueryStore, TooManyRows, ask_store
from tallymark.queries.grid import OfTime
from tallymark.queries.kinds import Question
from tallymark.queries.measures import EXACT_ROWS
from tallymark.queries.missing import Missing, find_missing
from tallymark.queries.period import Period
from tallymark.queries.result import Answer, Cost, Table


def run_question(
    question: Question,
    store: QueryStore,
    project: str,
    limits: Limits = DEFAULT_LIMITS,
    *,
    explain: bool = True,
) -> Answer:
    """Ask the store and return the answer.

    Without `explain` it is not looked for why nothing was found, which takes longer than to find nothing.
    Raises `RequestRefused`: `invalid_question` and `unknown_field` as `parse_question` does, `query_too_expensive`
    when a limit was met, `store_unavailable`.
    """
    began = time.perf_counter()
    period = question.period()
    rows, exact = _ask(question, period, store, project, limits)
    if isinstance(question, OfTime):
        query = question.query(period, exact=exact)
        rest = query.build_rest(project, rows)
        if rest is not None:
            rows = query.add_rest(rows, ask_store(store, rest, limits))
    table = question.shape_result(period, rows, exact=exact)
    missing = Missing([], [])
    # A breakdown by what was never seen has no groups, whether that is explained or not.
    doubts = [at for at in table.doubts if explain or at.startswith("breakdown")]
    if doubts:
        missing = find_missing(question, doubts, store, project, limits)
    beyond = _leave_out_beyond(table)
    notes = list(dict.fromkeys([*period.notes, *table.notes, *beyond, *missing.notes]))
    elapsed = round((time.perf_counter() - began) * 1000, 3)
    shown = [] if _found_nothing(question, table.doubts, missing) else table.rows
    return Answer(table.columns, shown, notes, Cost(elapsed))


def _leave_out_beyond(table: Table) -> list[str]:
    """Put null for figures beyond the doubles; returns a sentence for each column that has such."""
    beyond = [0] * len(table.columns)
    for row in table.rows:
        for place, cell in enumerate(row):
            if isinstance(cell, float) and not math.isfinite(cell):
                row[place] = None
                beyond[place] += 1
    return [
        f"{column.name} is null in {count:,} of {len(table.rows):,} rows: it, or what it is computed of, is beyond the largest"
        f" number that can be written, {sys.float_info.max:.1e}."
        for column, count in zip(table.columns, beyond, strict=True)
        if count
    ]


def _found_nothing(question: Question, doubts: list[str], missing: Missing) -> bool:
    """Whether the answer is empty because of a name that was never seen, and not because nothing happened."""
    if any(at.startswith("breakdown") for at in missing.paths):
        return True
    return bool(missing.paths) and all(at in doubts for at, _ in question.selections())


def _ask(
    question: Question, period: Period, store: QueryStore, project: str, limits: Limits
) -> tuple[list[list[Any]], bool]:
    """Ask exactly where that is affordable, else approximately; return rows and whether they are exact.

    What is affordable is told by the engine, which knows from its index how many rows it would have to read.
    """
    if question.has_exact_form() and not 0 < limits.rows_to_read <= EXACT_ROWS:
        affordable = replace(limits, rows_to_read=EXACT_ROWS)
        try:
            return ask_store(store, question.build_sql(project, period, exact=True), affordable), True
        except TooManyRows:
            return ask_store(store, question.build_sql(project, period, exact=False), limits), False
    return ask_store(store, question.build_sql(project, period, exact=True), limits), True
