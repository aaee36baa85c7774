"""Asking the store again where others had taken its memory."""

from __future__ import annotations

import pytest

from tallymark.errors import RequestRefused
from tallymark.queries.parse import parse_question
from tallymark.store.errors import QueryTooExpensive
from tallymark.web import services as services_room
from tallymark.web.services import Services

QUESTION = parse_question(
    {"kind": "trend", "from": "2026-01-01", "to": "2026-01-02", "series": [{"event_name": "a"}]}
)


def _refuse(number, message):
    refusal = RequestRefused("query_too_expensive", message)
    refusal.__cause__ = QueryTooExpensive(number, "NAME", message)
    raise refusal


@pytest.mark.parametrize(
    ("number", "message", "times"),
    [
        (241, "(total) memory limit exceeded: would use 1.01 GiB", 2),
        (241, "Query memory limit exceeded: would use 1.00 GiB", 1),
        (159, "Timeout exceeded: elapsed 30 seconds", 1),
    ],
)
def test_what_others_caused_is_tried_again(monkeypatch, number, message, times):
    """A question that failed because all together took too much memory is asked once more; one that is too large is not."""
    asked = []

    def run(*_, **__):
        asked.append(1)
        _refuse(number, message)

    monkeypatch.setattr(services_room, "run_question", run)
    catalog = type("Nothing", (), {"engine": None})()
    services = Services(catalog, None, None, None, None, None, None, None, "", "", None, None)  # type: ignore[arg-type]
    with pytest.raises(RequestRefused):
        services.answer(QUESTION, "p")
    assert len(asked) == times
