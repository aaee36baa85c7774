"""Passwords of people: Argon2id, hashed and compared. Both take tens of milliseconds: never on an event loop."""

from __future__ import annotations

import functools

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# RFC 9106, second recommended option: 64 MiB, three passes.
_hasher = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1)


@functools.cache
def _nobody() -> str:
    """Return what is compared against when there is no such person, so that the answer takes as long."""
    return _hasher.hash("nobody")


def hash_password(password: str) -> str:
    """Return the text that is stored of a password."""
    return _hasher.hash(password)


def is_password(password: str, stored: str | None) -> bool:
    """Tell whether a password is the one that was stored; False, and as slow, when nothing is stored."""
    try:
        _hasher.verify(stored or _nobody(), password)
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None
