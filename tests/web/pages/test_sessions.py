"""Who may sign in how often, and where a sign-in leads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.clock import FixedClock
from tallymark.errors import RequestRefused
from tallymark.web.pages.sessions import Attempts, parse_pairs, parse_target


def test_ten_failures_end_the_tries_of_one_name_from_one_address_for_a_while():
    """Guessing is slow, another address is not locked out, and time forgives."""
    clock = FixedClock()
    attempts = Attempts(clock)
    for _ in range(Attempts.MOST):
        assert not attempts.is_blocked(("admin", "10.0.0.1"))
        attempts.fail(("admin", "10.0.0.1"))
    assert attempts.is_blocked(("admin", "10.0.0.1"))
    assert not attempts.is_blocked(("admin", "10.0.0.2"))
    clock.advance(Attempts.SECONDS + 1)
    assert not attempts.is_blocked(("admin", "10.0.0.1"))


def test_a_success_forgets_the_failures():
    """Somebody who mistyped starts anew after signing in."""
    attempts = Attempts(FixedClock())
    for _ in range(Attempts.MOST - 1):
        attempts.fail(("admin", "a"))
    attempts.succeed(("admin", "a"))
    attempts.fail(("admin", "a"))
    assert not attempts.is_blocked(("admin", "a"))


def test_memory_of_failures_is_bounded():
    """A flood of names does not grow the server."""
    attempts = Attempts(FixedClock())
    for number in range(12_000):
        attempts.fail((f"name{number}", "a"))
    assert len(attempts._failed) == 10_000


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "",
        "/a\nb",
        "/" + "x" * 9000,
    ],
)
def test_a_sign_in_leads_nowhere_else(target):
    """What is no path on this server becomes the home page."""
    assert parse_target(target) == "/"


@given(st.text())
def test_a_target_never_leaves_the_server(text):
    """Any target is a path here, in characters that a header can hold."""
    target = parse_target(text)
    assert target.startswith("/")
    assert target[1:2] not in ("/", "\\")
    assert target.isascii()
    assert target.isprintable()


def test_a_form_has_a_bounded_number_of_fields():
    """A thousand fields are read, more are refused."""
    assert len(parse_pairs("&".join(["a=1"] * 1000))) == 1000
    with pytest.raises(RequestRefused):
        parse_pairs("&".join(["a=1"] * 1001))
