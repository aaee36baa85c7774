"""The steps of an event before the journal, in order.

Adding one is a file here and a line in `STEPS`, at its place.
"""

from __future__ import annotations

from tallymark.pipeline.step import Reads, Step
from tallymark.pipeline.steps.correct_clock import correct_clock
from tallymark.pipeline.steps.redact import redact
from tallymark.pipeline.steps.validate import validate

STEPS: tuple[Step, ...] = (
    Step(correct_clock, Reads.REQUEST),  # first: whether a time is possible depends on it
    Step(validate, Reads.CORE),  # before anything works on values that it may not trust
    Step(redact, Reads.CORE),  # last before the disk: nothing that a step added escapes it
)
