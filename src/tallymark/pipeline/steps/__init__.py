"""The walk of an event before the journal, read top to bottom.

A step takes the batch and changes it. Adding one is a file here and a line in `STEPS`, at its place.
"""

from __future__ import annotations

from collections.abc import Callable

from tallymark.pipeline.batch import Batch
from tallymark.pipeline.steps.correct_clock import correct_clock
from tallymark.pipeline.steps.redact import redact
from tallymark.pipeline.steps.validate import validate

Step = Callable[[Batch], None]

STEPS: tuple[Step, ...] = (
    correct_clock,  # first: whether a time is possible depends on it
    validate,  # before anything works on values that it may not trust
    redact,  # last before the disk: nothing that a step added escapes it
)
