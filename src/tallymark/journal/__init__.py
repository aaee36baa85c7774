"""The journal: the durable, append-only record of accepted requests, and our first promise.

`journal.py` says what a journal is, `record.py` what one record holds, `segments.py` keeps it in local files.
"""
