"""Who sends a request: the key in it, and what that key may do.

Used by every route that takes a key, also outside the intake. Keys are compared by digest.
"""

from __future__ import annotations

from collections.abc import Mapping

from tallymark.basic_auth import parse_basic
from tallymark.catalog.snapshot import KeyHolder, Snapshot
from tallymark.errors import RequestRefused

# What each scope may do. `admin` is for people's own scripts; it must never stand in a browser.
ALLOWED = {"write": ("write", "admin"), "read": ("read", "admin"), "admin": ("admin",)}


def parse_key(authorization: str | None, query: Mapping[str, str]) -> str:
    """Return the key of a request: Bearer, the user name of Basic, or `?key=`; '' when there is none."""
    if authorization:
        kind, _, value = authorization.partition(" ")
        if kind.lower() == "bearer":
            return value.strip()
        if kind.lower() == "basic":
            user, _ = parse_basic(value) or ("", "")
            return user
    return query.get("key", "")


def check_key(snapshot: Snapshot, key: str, action: str) -> KeyHolder:
    """Return whom the key lets in; raises RequestRefused (unauthorized, forbidden)."""
    holder = find_holder(snapshot, key)
    check_scope(holder, action)
    return holder


def find_holder(snapshot: Snapshot, key: str) -> KeyHolder:
    """Return whose the key is; raises RequestRefused (unauthorized)."""
    if not key:
        raise RequestRefused("unauthorized", "The request has no key. Send 'Authorization: Bearer KEY'.")
    holder = snapshot.find_key(key)
    if holder is None:
        raise RequestRefused("unauthorized", "The key is unknown or was revoked.")
    return holder


def check_scope(holder: KeyHolder, action: str) -> None:
    """Raise RequestRefused (forbidden) where the holder may not do this."""
    if holder.scope not in ALLOWED[action]:
        allowed = "' or '".join(ALLOWED[action])
        raise RequestRefused("forbidden", f"The key has scope '{holder.scope}'; this needs '{allowed}'.")
