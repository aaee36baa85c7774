"""What a step of the pipeline is: a function that changes a batch, and what it reads of the events.

`steps/__init__.py` lists them, `run.py` runs them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from tallymark.pipeline.batch import Batch


class Reads(Enum):
    """What a step reads of the events. It says what the step costs: attributes are decoded only for who reads them."""

    REQUEST = "the request alone"
    CORE = "ids, names and times; whole events only where the receiver has left something to check"
    EVENTS = "whole events, which are decoded for it"


@dataclass(slots=True)
class Step:
    """A function that changes a batch in place, and what it reads; `name` is the function's, its time is counted under it."""

    run: Callable[[Batch], None]
    reads: Reads
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.run.__name__
