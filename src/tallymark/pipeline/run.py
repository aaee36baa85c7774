"""Run the steps over a batch, in order, timing each by its name.

The intake calls `run_steps`; the list itself stands in `steps/__init__.py`.
"""

from __future__ import annotations

import time

from tallymark.meters import STEP_SECONDS
from tallymark.pipeline.batch import Batch
from tallymark.pipeline.steps import STEPS


def run_steps(batch: Batch) -> None:
    """Run all steps; stop early when no event is left."""
    started = time.perf_counter()
    for step in STEPS:
        if not batch.cores:
            return
        step.run(batch)
        batch.settle()
        ended = time.perf_counter()
        STEP_SECONDS.add(step.name, ended - started)
        started = ended
