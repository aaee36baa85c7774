"""Asks the store: a question in, an answer out.

Comes in: a question, the store, the project that may be seen, limits. Goes out: an `Answer`. The web room calls it in
a thread of its own; the CLI calls it directly. One statement per question; one cheap look at the index before it when
a figure has an exact and an approximate form, and looks for names after it only when something was not found.
"""

from __future__ import annotations

import time

from tallymark.queries.ask import DEFAULT_LIMITS, Limits, QueryStore, ask_store
from tallymark.queries.kinds import Question
from tallymark.queries.measures import EXACT_ROWS
from tallymark.queries.names import Missing, find_missing
from tallymark.queries.result import Answer, Cost
from tallymark.queries.sql import Parameters, Statement, build_scope

__all__ = ["DEFAULT_LIMITS", "Limits", "QueryStore", "run_question"]


def run_question(
    question: Question, store: QueryStore, project: str, limits: Limits = DEFAULT_LIMITS
) -> Answer:
    """Ask the store and return the answer.

    Raises `RequestRefused`: `invalid_question` and `unknown_field` as `parse_question` does, `query_too_expensive`
    when a limit was met, `store_unavailable`.
    """
    began = time.perf_counter()
    period = question.period()
    exact = not question.has_exact_form() or _count_at_most(question, store, project) <= EXACT_ROWS
    statement = question.build_sql(project, period, exact=exact)
    rows, rows_read = ask_store(store, statement, limits)
    table = question.shape_result(period, rows, exact=exact)
    missing = Missing([], [])
    if table.doubts:
        missing = find_missing(question, table.doubts, store, project, limits)
    notes = list(dict.fromkeys([*table.notes, *missing.notes]))
    elapsed = round((time.perf_counter() - began) * 1000, 3)
    shown = [] if _found_nothing(question, table.doubts, missing) else table.rows
    return Answer(table.columns, shown, notes, Cost(elapsed, rows_read))


def _found_nothing(question: Question, doubts: list[str], missing: Missing) -> bool:
    """Whether the answer is empty because of a name that was never seen, and not because nothing happened."""
    if any(at.startswith("breakdown") for at in missing.paths):
        return True
    return bool(missing.paths) and all(at in doubts for at, _ in question.selections())


def _count_at_most(question: Question, store: QueryStore, project: str) -> int:
    """Return an upper bound of the rows that the question looks at, from the index alone."""
    parameters = Parameters()
    names = [selection.event_name for _, selection in question.selections()]
    scope = build_scope(parameters, project, question.period(), names)
    rows, _ = ask_store(store, Statement(f"EXPLAIN ESTIMATE SELECT count() {scope}", parameters.values))
    return sum(int(row[3]) for row in rows)
