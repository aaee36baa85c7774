"""What the API's own description allows, and what it forbids, never makes a 5xx (schemathesis)."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings

pytestmark = pytest.mark.store


@pytest.fixture(scope="module")
def described(server):
    """Read the description from the server that is asked."""
    return schemathesis.openapi.from_url(f"{server.url}/v1/openapi/openapi.json")


OPERATIONS = 20


def test_description_lists_the_api(described):
    """The description has the whole API in it, each operation with a summary."""
    operations = [operation.ok() for operation in described.get_all_operations()]
    assert len(operations) >= OPERATIONS
    assert all(operation.definition.raw.get("summary") for operation in operations)


def test_no_request_is_our_fault(described, server):
    """No generated request, valid or not, with a key or a wrong one, is answered 5xx."""
    failed, asked = [], []
    for found in described.get_all_operations():
        _ask_all(found.ok(), server, asked, failed)
    assert failed == []
    assert len(asked) >= OPERATIONS * 10


def _ask_all(operation, server, asked: list[str], failed: list[tuple]) -> None:
    @seed(20260131)
    @settings(
        max_examples=20,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def ask(case):
        for key in (server.admin_key, "wrong"):
            answer = case.call(headers={"Authorization": f"Bearer {key}"}, timeout=60)
            asked.append(operation.label)
            if answer.status_code >= 500:
                failed.append((operation.label, answer.status_code, answer.content[:300]))

    ask()
