"""What the framework refuses is answered with codes of ours."""

from __future__ import annotations

import pytest
from litestar.exceptions import HTTPException

from tallymark.web.answers import build_http_refusal


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "invalid_request"),
        (404, "not_found"),
        (405, "method_not_allowed"),
        (413, "body_too_large"),
        (415, "invalid_request"),
        (500, "internal_error"),
    ],
)
def test_the_frameworks_refusals_have_a_code(status, code):
    """Each status has the code that says what happened, and one without a code of its own says no more than it knows."""
    refusal = build_http_refusal(HTTPException("why", status_code=status))
    assert (refusal.code, refusal.message) == (code, "why")
