"""The ledger: exact counts of every event received, by what became of it.

The loader is its only writer (`book.py`); reports, traces and the quarantine are read by the web.
"""
