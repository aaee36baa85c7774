"""Credentials of HTTP's Basic scheme."""

from __future__ import annotations

import base64

import pytest

from tallymark.basic_auth import parse_basic


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("user:secret", ("user", "secret")),
        ("user:a:b", ("user", "a:b")),
        ("key", ("key", "")),
        (":", ("", "")),
        ("Jürgen:ß", ("Jürgen", "ß")),
    ],
)
def test_user_and_password(text, found):
    """The first colon ends the user name; texts are UTF-8, and spaces around the header's value do not count."""
    assert parse_basic(f" {base64.b64encode(text.encode()).decode()} ") == found


@pytest.mark.parametrize("value", ["a", "dXNl*cjpz", "/w==", "dXNlcjpz\xff", "dXNl cjpz"])
def test_what_is_not_valid(value):
    """What is no base64, or no UTF-8 under it, names nobody."""
    assert parse_basic(value) is None
