"""Pure rules, shared by whoever has to apply them: no I/O, no clock, no state.

`privacy.py` holds the redaction that protects people by default.
"""
