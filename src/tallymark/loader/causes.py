"""What an error of the store says of an insert: a row's fault, too much at once, or trouble that passes.

`insert` asks here after every failure. Numbers are ClickHouse's. A new one that only fewer rows would avoid belongs into
`_SIZE_NUMBERS`.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from tallymark.store.errors import StoreError


class Cause(Enum):
    """What to do after an insert that failed."""

    # A row in it cannot be stored: look for it by halves, and refuse it where it stands alone.
    ROW = "row"
    # It was too much at once: send fewer rows. No row is refused for it.
    SIZE = "size"
    # No room, no table, no right, overload: wait. Other rows would fare no better.
    STORE = "store"
    # Not known: wait a few times, then look for a row at fault.
    UNKNOWN = "unknown"


_ROW_NUMBERS: Final = frozenset(
    {
        6,  # CANNOT_PARSE_TEXT
        26,  # CANNOT_PARSE_QUOTED_STRING
        27,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
        36,  # BAD_ARGUMENTS
        38,  # CANNOT_PARSE_DATE
        41,  # CANNOT_PARSE_DATETIME
        53,  # TYPE_MISMATCH
        69,  # ARGUMENT_OUT_OF_BOUND
        70,  # CANNOT_CONVERT_TYPE
        72,  # CANNOT_PARSE_NUMBER
        117,  # INCORRECT_DATA
        128,  # TOO_LARGE_ARRAY_SIZE
        131,  # TOO_LARGE_STRING_SIZE
        306,  # TOO_DEEP_RECURSION
        321,  # VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
        349,  # CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
        407,  # DECIMAL_OVERFLOW
        467,  # CANNOT_PARSE_BOOL
    }
)
_SIZE_NUMBERS: Final = frozenset(
    {
        158,  # TOO_MANY_ROWS
        159,  # TIMEOUT_EXCEEDED
        160,  # TOO_SLOW
        173,  # CANNOT_ALLOCATE_MEMORY
        229,  # QUERY_IS_TOO_LARGE
        241,  # MEMORY_LIMIT_EXCEEDED
        307,  # TOO_MANY_BYTES
        396,  # TOO_MANY_ROWS_OR_BYTES
        565,  # TOO_MANY_PARTITIONS
        1001,  # STD_EXCEPTION, as std::bad_alloc
    }
)
_STORE_NUMBERS: Final = frozenset(
    {
        60,  # UNKNOWN_TABLE
        74,  # CANNOT_READ_FROM_FILE_DESCRIPTOR
        75,  # CANNOT_WRITE_TO_FILE_DESCRIPTOR
        76,  # CANNOT_OPEN_FILE
        81,  # UNKNOWN_DATABASE
        201,  # QUOTA_EXCEEDED
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        216,  # QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING
        236,  # ABORTED
        242,  # TABLE_IS_READ_ONLY
        243,  # NOT_ENOUGH_SPACE
        252,  # TOO_MANY_PARTS
        394,  # QUERY_WAS_CANCELLED
        425,  # SYSTEM_ERROR
        439,  # CANNOT_SCHEDULE_TASK
        497,  # ACCESS_DENIED
        516,  # AUTHENTICATION_FAILED
    }
)
# Where one number stands for several causes, only the engine's words tell them apart. They come before the numbers.
_BY_WORDS: Final = (
    # The operating system's own words, under whatever number.
    ("No space left on device", Cause.STORE),
    # Each part that an insert writes holds files open.
    ("Too many open files", Cause.SIZE),
    # 252: too many partitions in one insert. The same number says that merges do not keep up, which passes.
    ("partitions for single INSERT block", Cause.SIZE),
    # 62, a syntax error by its number.
    ("Max query size exceeded", Cause.SIZE),
)


def find_cause(error: StoreError) -> Cause:
    """Return what kind of failure an insert met."""
    for words, cause in _BY_WORDS:
        if words in error.message:
            return cause
    if error.number in _ROW_NUMBERS:
        return Cause.ROW
    if error.number in _SIZE_NUMBERS:
        return Cause.SIZE
    return Cause.STORE if error.number in _STORE_NUMBERS else Cause.UNKNOWN
