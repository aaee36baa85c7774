"""Pure rules, shared by whoever has to apply them: no I/O, no clock, no state.

`privacy.py` protects people by default: `kinds/` holds its rules, `places.py` tells them where a value stands.
"""
