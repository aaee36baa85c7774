"""The catalog: the control plane's facts: projects, keys, people who may sign in, settings of the installation.

`tables.py` and `migrations/` define it, `repository.py` reads and writes it, `snapshot.py` is what the hot path reads.
"""
