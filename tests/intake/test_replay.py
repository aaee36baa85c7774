"""Which receiver a replayed event goes through, however often it was replayed before."""

from __future__ import annotations

import pytest

from tallymark.intake.receivers import find_receiver
from tallymark.intake.replay import build_source, find_origin


@pytest.mark.parametrize(
    ("source", "replayed", "receiver"),
    [
        ("http", "replay", "http"),
        ("replay", "replay", "http"),
        ("own", "replay", "http"),
        ("posthog", "replay:posthog", "posthog"),
        ("replay:posthog", "replay:posthog", "posthog"),
    ],
)
def test_source_of_a_replay_keeps_the_receiver(source, replayed, receiver):
    """A replay of another protocol's event says so, and a replay of that replay finds the same receiver."""
    assert build_source(source) == replayed
    assert find_receiver(find_origin(replayed)).source == receiver
