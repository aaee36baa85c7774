"""Addresses from host and port."""

from __future__ import annotations

import pytest

from tallymark.server.address import format_address


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "http://127.0.0.1:8600"), ("::1", "http://[::1]:8600"), ("tally.example", "http://tally.example:8600"), ("[::1]", "http://[::1]:8600")],
)  # fmt: skip
def test_addresses(host, address):
    """An IPv6 address stands in brackets."""
    assert format_address(host, 8600) == address
