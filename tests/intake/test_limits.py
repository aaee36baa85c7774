"""Bounds across requests: bytes, requests and events per second, given back when they are free again."""

from __future__ import annotations

import contextlib
from contextlib import ExitStack

import pytest

from tallymark.clock import FixedClock
from tallymark.errors import RequestRefused
from tallymark.intake.limits import IntakeLimits, MemoryBudget, RateLimiter, build_project_room


def test_bytes_are_bounded_and_given_back():
    """Together requests hold no more than the limit; what one took is free after it, also after an error."""
    budget = MemoryBudget(build_project_room(IntakeLimits(memory_bytes=100)))
    with budget.request("a") as first, budget.request("b") as second, budget.request("c") as third:
        first.take(40)
        second.take(40)
        with pytest.raises(RequestRefused, match="overloaded") as caught:
            third.take(21)
        assert caught.value.retry_after
        third.take(20)
    with pytest.raises(RequestRefused), budget.request("a") as fourth:
        fourth.take(51)
    with budget.request("a") as fifth:
        fifth.take(50)


def test_one_project_takes_half_of_the_bytes():
    """A project's requests together hold half of the memory, and are told that it is their share; others go on."""
    budget = MemoryBudget(build_project_room(IntakeLimits(memory_bytes=100)))
    with ExitStack() as held:
        for _ in range(5):
            held.enter_context(budget.request("a")).take(10)
        more = held.enter_context(budget.request("a"))
        with pytest.raises(RequestRefused, match=r"overloaded.*its share is 50") as caught:
            more.take(1)
        assert (caught.value.status, caught.value.retry_after) == (503, 1)
        held.enter_context(budget.request("b")).take(50)
    with budget.request("a") as again:
        again.take(50)


def test_what_never_fits_is_no_passing_trouble():
    """A request that alone takes more than its project's share is told to be smaller, not to come again."""
    budget = MemoryBudget(build_project_room(IntakeLimits(memory_bytes=100)))
    with budget.request("a") as alone:
        alone.take(30)
        with pytest.raises(RequestRefused, match="body_too_large") as caught:
            alone.take(21)
        assert (caught.value.status, caught.value.retry_after) == (413, None)


def test_requests_are_bounded():
    """No more requests are held than allowed, and no more than half of them for one project."""
    budget = MemoryBudget(build_project_room(IntakeLimits(requests=4)))
    with ExitStack() as held:
        for project in ("a", "a"):
            held.enter_context(budget.request(project))
        with pytest.raises(RequestRefused, match=r"overloaded.*its share"):
            held.enter_context(budget.request("a"))
        for project in ("b", "b"):
            held.enter_context(budget.request(project))
        with pytest.raises(RequestRefused, match="overloaded"):
            held.enter_context(budget.request("c"))
    with budget.request("a"):
        pass


def test_rate_is_kept_over_time():
    """Over ten seconds a project gets its rate, and one second's worth of burst; others are not touched."""
    clock, passed = FixedClock(), 0
    rates = RateLimiter(clock)
    for _ in range(1000):
        with contextlib.suppress(RequestRefused):
            rates.admit("a", 5, 100)
            passed += 5
        clock.advance(0.01)
    assert 1000 <= passed <= 1100
    rates.admit("b", 100, 100)


def test_batch_larger_than_the_rate_passes_and_is_paid_back():
    """A batch above one second's worth passes a full bucket, and the next waits until it is paid."""
    clock = FixedClock()
    rates = RateLimiter(clock)
    rates.admit("a", 1000, 100)
    clock.advance(5)
    with pytest.raises(RequestRefused) as caught:
        rates.admit("a", 1, 100)
    assert (caught.value.code, caught.value.status) == ("rate_limited", 429)
    assert caught.value.retry_after >= 4
    clock.advance(caught.value.retry_after)
    rates.admit("a", 1, 100)


def test_no_rate_means_no_limit():
    """Zero switches the limit off."""
    RateLimiter(FixedClock()).admit("a", 10**9, 0)
