"""The pipeline: what happens to an event between its receiver and the journal.

`steps/__init__.py` holds the list of steps, read top to bottom; `run.py` runs it; `batch.py` is what they share;
`step.py` says what a step is, `forms.py` in which forms a batch holds events.
"""
