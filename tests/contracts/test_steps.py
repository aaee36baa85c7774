"""What every step of the pipeline promises, for each that stands in the list, in every form in which events come."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from tallymark.event import Event
from tallymark.pipeline import steps
from tallymark.pipeline.batch import Arrival, Batch
from tallymark.pipeline.forms import RawCoreEvent, RawEvent
from tallymark.pipeline.run import run_steps
from tallymark.pipeline.scan import FULL_SCAN, Scan
from tallymark.pipeline.step import Reads, Step
from tallymark.pipeline.steps import STEPS

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
# Each may hold the members of the one before.
FORMS = (RawCoreEvent, RawEvent, Event)
NOTHING = Scan(people=False, escapes=False, long_integers=False, odd=False, rules=frozenset())


def _batch(count: int, form: type, scan: Scan = FULL_SCAN, *, checked: bool = False) -> Batch:
    """Make a batch of all sorts: good, impossible, personal, nested, on a skewed clock."""
    sorts = [
        {},
        {"event_time": NOW + timedelta(days=9)},
        {"attributes": {"mail": "ada@example.org", "card": "4111 1111 1111 1111"}},
        {"attributes": {"deep": {"a": [1, {"b": "c"}]}, "": 1}},
        {"user_id": "ada@example.org"},
    ]
    if form is not RawCoreEvent:
        sorts.append({"page_url": "https://u:p@example.org/?token=abc"})
    events = [
        {"event_id": f"e-{place}", "event_time": NOW, "event_type": "t", "event_name": "n"}
        | sorts[place % len(sorts)]
        for place in range(count)
    ]
    arrival = Arrival("default", "http", NOW, NOW - timedelta(hours=3))
    made = msgspec.json.decode(msgspec.json.encode(events), type=list[form])
    return Batch(arrival, made, list(range(count)), scan, checked=checked)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
class TestEveryStep:
    """Each holds for a step whatever it is for, and whatever form the receiver made."""

    @pytest.mark.usefixtures("form")
    def test_says_what_it_does(self, step):
        """A step has a sentence, and lives in a file of its name."""
        assert inspect.getdoc(step.run)
        assert Path(inspect.getfile(step.run)).stem == step.name

    @pytest.mark.parametrize("count", [0, 1, 2, 25])
    def test_loses_nobody(self, step, form, count):
        """Every event is afterwards either still in or among the failed, once, under its place in the request."""
        batch = _batch(count, form)
        step.run(batch)
        batch.settle()
        out = [item.index for item in batch.failed]
        assert sorted([*batch.indexes, *out]) == list(range(count))
        assert len(batch.cores) == len(batch.events) == len(batch.indexes)
        assert all(item.kept or item.dropped for item in batch.failed)

    def test_second_run_changes_nothing(self, step, form):
        """A replay runs the steps again: what went through them once comes out the same."""
        batch = _batch(25, form)
        step.run(batch)
        batch.settle()
        once = msgspec.json.encode(batch.cores)
        step.run(batch)
        batch.settle()
        assert msgspec.json.encode(batch.cores) == once

    def test_keeps_the_identity(self, step, form):
        """No step changes an event's id: repetition and trace depend on it."""
        batch = _batch(25, form)
        before = {place: batch.cores[place].event_id for place in range(25)}
        step.run(batch)
        batch.settle()
        assert all(
            before[index] == event.event_id for index, event in zip(batch.indexes, batch.cores, strict=True)
        )

    def test_gives_the_same_in_every_form(self, step, form):
        """Whether attributes were decoded or not, what is refused, counted and left is the same."""
        batch, decoded = _batch(25, form), _batch(25, form)
        assert decoded.events
        for one in (batch, decoded):
            step.run(one)
            one.settle()
        assert _outcome(batch) == _outcome(decoded)

    def test_costs_what_it_declares(self, step, form):
        """A step that does not read attributes leaves those of checked events undecoded."""
        batch = _batch(5, form, NOTHING, checked=True)
        step.run(batch)
        batch.settle()
        if step.reads is not Reads.EVENTS:
            assert all(isinstance(event, form) for event in batch.cores)


def _outcome(batch: Batch):
    failed = [msgspec.json.encode(item) for item in batch.failed]
    return msgspec.json.encode(batch.cores), failed, batch.scrubbed, batch.skew_ms


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_any_step_may_read_and_change_attributes(form, monkeypatch):
    """`event.attributes["a"]` works whatever form the receiver made, and what a step writes there goes to the journal."""

    def enrich(batch: Batch) -> None:
        for event in batch.events:
            event.attributes["b"] = event.attributes["a"] + 1
            event.page_title = "seen"

    event = {"event_id": "e", "event_time": NOW, "event_type": "t", "event_name": "n", "attributes": {"a": 1}}
    made = msgspec.json.decode(msgspec.json.encode([event]), type=list[form])
    batch = Batch(Arrival("default", "http", NOW), made, [0], NOTHING, checked=True)
    monkeypatch.setattr("tallymark.pipeline.run.STEPS", (*STEPS, Step(enrich, Reads.EVENTS)))
    run_steps(batch)
    (line,) = msgspec.json.decode(msgspec.json.encode(batch.cores))
    assert line["attributes"] == {"a": 1, "b": 2}
    assert line["page_title"] == "seen"


def test_every_file_is_in_the_list():
    """A step that nobody listed would never run."""
    files = {path.stem for path in Path(steps.__file__).parent.glob("*.py")} - {"__init__"}
    assert files == {step.name for step in STEPS}
