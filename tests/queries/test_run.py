"""Running: limits and outages become answers that somebody can act on."""

from __future__ import annotations

import pytest

from tallymark.errors import RequestRefused
from tallymark.queries.ask import Limits
from tallymark.queries.parse import parse_question
from tallymark.queries.run import run_question
from tallymark.store.client import StoreClient

pytestmark = pytest.mark.store

TREND = {"kind": "trend", "from": "2024-01-01", "to": "2025-01-01", "series": [{"event_name": "seen"}]}
UNIQUE = {"series": [{"event_name": "seen", "measure": {"op": "unique", "field": "event_id"}}]}


@pytest.mark.parametrize("limits", [Limits(rows_to_read=10), Limits(memory_bytes=1)])
def test_a_limit_of_the_store_is_a_422_with_its_reason(store, insert, limits):
    """A question over its limit of rows or memory says which limit it was, and leaves the store answering."""
    project = insert([{} for _ in range(1_000)])
    with pytest.raises(RequestRefused, match="limit") as caught:
        run_question(parse_question({**TREND, **UNIQUE}), store, project, limits)
    assert (caught.value.code, caught.value.status) == ("query_too_expensive", 422)
    # How many there are would count rows of other projects.
    assert "current" not in caught.value.message
    assert run_question(parse_question({**TREND, **UNIQUE}), store, project).rows == [[1_000]]


def test_a_question_that_takes_too_long_is_stopped(store, insert):
    """The limit of time ends a question with the same code."""
    project = insert([{"attributes": {"text": "x" * 1000}} for _ in range(2_000)])
    filters = [{"field": "text", "op": "matches", "value": f"(x{{1,{n}}}y?)+$"} for n in range(300, 340)]
    with pytest.raises(RequestRefused) as caught:
        run_question(parse_question({**TREND, "filters": filters}), store, project, Limits(seconds=0.01))
    assert caught.value.code == "query_too_expensive"


@pytest.mark.parametrize("breakdown", [[], ["plan"]])
def test_why_nothing_was_found_is_looked_for_unless_nobody_asks(store, insert, breakdown):
    """The figures are the same; a breakdown by what no event has has no groups in either case."""
    project = insert([{}])
    nowhere = {"field": "user_id", "op": "eq", "value": "nobody"}
    question = parse_question({**TREND, "breakdown": breakdown, "filters": [nowhere]})
    explained, plain = (run_question(question, store, project, explain=explain) for explain in (True, False))
    assert plain.rows == explained.rows == ([] if breakdown else [[0]])
    typo = parse_question({**TREND, "series": [{"event_name": "sen"}]})
    assert "No event is called 'sen'" in run_question(typo, store, project).notes[0]
    plain = run_question(typo, store, project, explain=False)
    assert plain.notes == []


def test_a_store_that_is_away_is_a_503():
    """Nobody listening is answered as an outage that passes, with the time to wait."""
    gone = StoreClient("http://127.0.0.1:9", password="any", timeout=5)
    with pytest.raises(RequestRefused) as caught:
        run_question(parse_question(TREND), gone, "project")
    assert (caught.value.code, caught.value.status) == ("store_unavailable", 503)
    assert caught.value.retry_after


def test_the_answer_says_what_it_took(store, insert):
    """Rows read are the count of the engine, which may read neighbours of other projects too; the time is ours as a whole."""
    answer = run_question(parse_question({**TREND, "breakdown": ["user_id"]}), store, insert([{}, {}]))
    assert answer.statistics.elapsed_ms > 0


@pytest.mark.parametrize(
    "project", ["o'hara", "a\\", "{p0:String}", "日本", "a\nb\tc", '"; DROP TABLE tallymark.events --']
)
def test_any_project_name_is_only_a_value(store, project):
    """A project's name reaches the engine as a parameter."""
    answer = run_question(parse_question(TREND), store, project)
    assert answer.rows == []
