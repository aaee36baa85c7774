"""What every step of the pipeline promises, for each that stands in the list."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from tallymark.event import Event
from tallymark.pipeline import steps
from tallymark.pipeline.batch import Arrival, Batch
from tallymark.pipeline.steps import STEPS

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def _batch(count: int) -> Batch:
    """Make a batch of all sorts: good, impossible, personal, nested, on a skewed clock."""
    sorts = [
        {},
        {"event_time": NOW + timedelta(days=9)},
        {"attributes": {"mail": "ada@example.org", "card": "4111 1111 1111 1111"}},
        {"attributes": {"deep": {"a": [1, {"b": "c"}]}, "": 1}},
        {"user_id": "ada@example.org", "page_url": "https://u:p@example.org/?token=abc"},
    ]
    events = [
        Event(
            **(
                {"event_id": f"e-{place}", "event_time": NOW, "event_type": "t", "event_name": "n"}
                | sorts[place % len(sorts)]
            )
        )
        for place in range(count)
    ]
    return Batch(Arrival("default", "http", NOW, NOW - timedelta(hours=3)), events, list(range(count)))


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
class TestEveryStep:
    """Each holds for a step whatever it is for."""

    def test_says_what_it_does(self, step):
        """A step has a sentence, and lives in a file of its name."""
        assert inspect.getdoc(step)
        assert Path(inspect.getfile(step)).stem == step.__name__

    @pytest.mark.parametrize("count", [0, 1, 2, 25])
    def test_loses_nobody(self, step, count):
        """Every event is afterwards either still in or among the failed, once, under its place in the request."""
        batch = _batch(count)
        step(batch)
        batch.settle()
        out = [item.index for item in batch.failed]
        assert sorted([*batch.indexes, *out]) == list(range(count))
        assert len(batch.events) == len(batch.indexes)
        assert all(item.kept or item.dropped for item in batch.failed)

    def test_second_run_changes_nothing(self, step):
        """A replay runs the steps again: what went through them once comes out the same."""
        batch = _batch(25)
        step(batch)
        batch.settle()
        once = msgspec.json.encode(batch.events)
        step(batch)
        batch.settle()
        assert msgspec.json.encode(batch.events) == once

    def test_keeps_the_identity(self, step):
        """No step changes an event's id: repetition and trace depend on it."""
        batch = _batch(25)
        before = {place: batch.events[place].event_id for place in range(25)}
        step(batch)
        batch.settle()
        assert all(
            before[index] == event.event_id for index, event in zip(batch.indexes, batch.events, strict=True)
        )


def test_every_file_is_in_the_list():
    """A step that nobody listed would never run."""
    files = {path.stem for path in Path(steps.__file__).parent.glob("*.py")} - {"__init__"}
    assert files == {step.__name__ for step in STEPS}
