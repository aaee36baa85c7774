"""Credentials of HTTP's Basic scheme (RFC 7617), as the intake, the web process and the store take them."""

from __future__ import annotations

import base64


def parse_basic(value: str) -> tuple[str, str] | None:
    """Return user name and password of what stands behind `Basic`; None when it is not valid."""
    try:
        user, _, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except ValueError:
        # Of base64, of UTF-8, and of a character outside ASCII, which is neither.
        return None
    return user, password
