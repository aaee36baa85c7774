"""The buffer against a model: bounded, first in first out, and every event in exactly one place."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from tallymark.client.buffer import OVERHEAD, Buffer
from tallymark.client.drops import Drops

ACTIONS = st.lists(
    st.tuples(st.sampled_from(["add", "add", "add", "take", "settle", "give back"]), st.integers(1, 400)),
    max_size=80,
)


@settings(max_examples=300, deadline=None)
@given(ACTIONS, st.integers(1, 12), st.integers(500, 3000))
def test_any_order_of_calls_keeps_the_account(actions, max_events, max_bytes):
    """After any calls the limits hold, added = gone + waiting, order is kept, and what is gone was settled or counted."""
    drops = Drops()
    buffer = Buffer(max_events, max_bytes, drops, batch_events=3, batch_bytes=700)
    taken, settled, number = [], [], 0
    for action, size in actions:
        if action == "add":
            buffer.add(b"%06d" % number + b"x" * size)
            number += 1
        elif action == "take":
            taken += [buffer.take(3, size)] if not taken else []
        elif taken and action == "settle":
            settled += taken[0]
            buffer.settle(taken.pop())
        elif taken:
            buffer.give_back(taken.pop())
        waiting = list(buffer._queue) + [line for batch in taken for line in batch]
        assert buffer.waiting == len(waiting)
        assert buffer.queued_bytes + buffer.taken_bytes == sum(len(line) + OVERHEAD for line in waiting)
        assert buffer.added == number == buffer.waiting + len(settled) + drops.total
        assert buffer.waiting <= max_events
        assert buffer.queued_bytes + buffer.taken_bytes <= max_bytes
        assert list(buffer._queue) == sorted(buffer._queue)
    assert set(drops.totals) <= {"queue_full"}


def test_the_first_and_a_full_batch_are_noticed():
    """The sender is told of the first event, of a batch by count, of a batch by bytes, and not of each event."""
    told = []
    buffer = Buffer(1000, 10**6, Drops(), batch_events=10, batch_bytes=2000)
    buffer.notify = lambda: told.append(buffer.queued)
    for _ in range(30):
        buffer.add(b"x" * 100)
    assert told == [1, 10, 14]


def test_after_abandon_nothing_comes_back():
    """What waits at abandon is counted as closed, and so is a batch given back later."""
    drops = Drops()
    buffer = Buffer(10, 10**6, drops)
    for _ in range(3):
        buffer.add(b"x")
    batch = buffer.take(1, 100)
    buffer.abandon()
    buffer.give_back(batch)
    buffer.add(b"late")
    assert drops.totals == {"closed": 4}
    assert (buffer.waiting, buffer.queued_bytes, buffer.taken_bytes) == (0, 0, 0)


def test_waiting_ends_at_the_deadline():
    """wait_until returns False at its deadline and True as soon as its condition holds."""
    buffer = Buffer(10, 10**6, Drops())
    assert not buffer.wait_until(lambda: False, time.monotonic() + 0.01)
    assert buffer.wait_until(lambda: True, 0)
