"""The intake: requests come in, are judged event by event, and are answered once they are durable.

`receivers/` know the protocols, `accept.py` is the way that all of them take to the journal.
"""
