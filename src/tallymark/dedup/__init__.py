"""Dedup: which events are new, judged in the journal's order; the first one wins.

`index.py` remembers (project, event_id) fingerprints durably, `judge.py` gives every event its verdict.
"""
