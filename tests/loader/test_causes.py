"""What the loader concludes from an error: a row's fault, too much at once, or trouble that passes."""

from __future__ import annotations

import pytest

from tallymark.loader.causes import Cause, find_cause
from tallymark.store.errors import build_store_error

PARTITIONS = (
    "Too many partitions for single INSERT block (more than 100). The limit is controlled by"
    " 'max_partitions_per_insert_block' setting."
)
MERGES = "Too many parts (3001 with average size of 1.2 MiB) in table 'tallymark.events'. Merges are processing significantly slower than inserts."


@pytest.mark.parametrize(
    ("number", "message", "cause"),
    [
        # One number, two causes.
        (252, PARTITIONS, Cause.SIZE),
        (252, MERGES, Cause.STORE),
        (158, "Limit for rows to read exceeded", Cause.SIZE),
        (159, "Timeout exceeded: elapsed 600.1 seconds", Cause.SIZE),
        (160, "Estimated query execution time is too long", Cause.SIZE),
        (173, "Cannot allocate memory", Cause.SIZE),
        (229, "Query is too large", Cause.SIZE),
        (241, "Memory limit (for query) exceeded", Cause.SIZE),
        (241, "Memory limit (total) exceeded", Cause.SIZE),
        (307, "Limit for bytes to read exceeded", Cause.SIZE),
        (396, "Limit for result exceeded", Cause.SIZE),
        (565, "Too many partitions to read", Cause.SIZE),
        (1001, "std::bad_alloc", Cause.SIZE),
        (62, "Syntax error: Max query size exceeded", Cause.SIZE),
        (62, "Syntax error at position 3", Cause.UNKNOWN),
        (76, "Cannot open file x.bin, errno: 24, strerror: Too many open files", Cause.SIZE),
        (76, "Cannot open file x.bin: Permission denied", Cause.STORE),
        (75, "Cannot write to file, errno: 28, strerror: No space left on device", Cause.STORE),
        (1001, "No space left on device", Cause.STORE),
        (243, "Cannot reserve 1.00 MiB, not enough space", Cause.STORE),
        (394, "Query was cancelled", Cause.STORE),
        (216, "Query with id = x is already running", Cause.STORE),
        (117, "Cannot parse JSON object", Cause.ROW),
        (128, "Too large array size", Cause.ROW),
        (469, "Constraint `no_odd` is violated", Cause.UNKNOWN),
    ],
)
def test_cause(number, message, cause):
    """Each of the engine's errors leads to the one thing that helps."""
    assert find_cause(build_store_error(number, "NAME", message)) is cause
