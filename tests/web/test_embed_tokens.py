"""Tokens of embeds: nobody can make one, change one, or use one after its end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.catalog.embeds import Embed
from tallymark.web.embed_tokens import is_valid, parse_number, sign_token

NOW = datetime(2026, 5, 1, tzinfo=UTC)
SECRET = b"s" * 32
EMBED = Embed(7, "shop", "board", "panel", "[]", NOW, "x", NOW + timedelta(days=1))


def test_a_token_opens_its_embed():
    """A token says the number of its embed, and is valid until its end."""
    token = sign_token(EMBED, SECRET)
    assert parse_number(token) == 7
    assert is_valid(token, EMBED, SECRET, NOW)
    assert not is_valid(token, EMBED, SECRET, NOW + timedelta(days=1))
    assert not is_valid(token, replace(EMBED, revoked_at=NOW), SECRET, NOW)
    assert not is_valid(token, EMBED, b"other" * 8, NOW)


@pytest.mark.parametrize(
    "change", [{"id": 8}, {"project": "other"}, {"dashboard": "other"}, {"panel": "other"}, {"filters": '[{"field":"x","op":"exists"}]'}]
)  # fmt: skip
def test_a_token_opens_nothing_else(change):
    """The signature is over everything that the embed shows."""
    assert not is_valid(sign_token(EMBED, SECRET), replace(EMBED, **change), SECRET, NOW)


@given(place=st.integers(0, 60), letter=st.sampled_from("aB0-_.9"))
def test_an_altered_token_is_none(place, letter):
    """No single changed letter leaves a token valid."""
    token = sign_token(EMBED, SECRET)
    place %= len(token)
    altered = token[:place] + letter + token[place + 1 :]
    if altered != token:
        assert not is_valid(altered, EMBED, SECRET, NOW) or altered.split(".")[2] == token.split(".")[2]


@given(text=st.text(max_size=80))
def test_any_text_is_a_token_or_not(text):
    """What is no token has no number."""
    assert parse_number(text) is None or text.count(".") == 2


def test_a_later_end_is_not_believed():
    """The end in the token is signed: who writes a later one has no valid token."""
    number, expires, signature = sign_token(EMBED, SECRET).split(".")
    assert not is_valid(f"{number}.{int(expires) + 9999}.{signature}", EMBED, SECRET, NOW)
