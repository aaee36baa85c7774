"""How somebody else's text is shown."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.web.texts import begin_sentence, lay_out_json, show_block, show_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\u202eevil", "\\u202eevil"),
        ("li\u200bve", "li\\u200bve"),
        ("a\nb\tc\x00", "a\\u000ab\\u0009c\\u0000"),
        ("\u2066a\u2069 \ufeffb\u061c\xad", "\\u2066a\\u2069 \\ufeffb\\u061c\\u00ad"),
        ("Zürich 日本 العربية 😀 {{7*7}}", "Zürich 日本 العربية 😀 {{7*7}}"),
        (5, "5"),
    ],
)
def test_what_cannot_be_seen_is_written_out(text, line):
    """A name that would read as another one shows what it is made of; ordinary letters of any script stay."""
    assert show_line(text) == line


def test_a_block_keeps_its_lines():
    """Line feeds and tabs lay a longer text out, all else is written out."""
    assert show_block("a\n\tb\r\u202ec") == "a\n\tb\\u000d\\u202ec"


@given(st.text())
def test_nothing_that_turns_or_hides_is_left(text):
    """No control and no character with a direction of its own gets onto a page."""
    shown = show_line(text)
    turning = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    assert not any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in shown)
    assert not any(unicodedata.bidirectional(one) in turning for one in shown)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_json_means_the_same_written_out(text):
    """What is copied from a page as JSON is the value that was sent."""
    laid_out = lay_out_json(json.dumps({"a": [text]}, ensure_ascii=False))
    assert json.loads(show_block(laid_out)) == {"a": [text]}


def test_json_is_laid_out_and_otherwise_as_it_was_kept():
    """Only white space between the parts differs: numbers, repeated keys and escapes stay, and so does what is no JSON."""
    kept = '{"a":1.00,"a":1e400,"b":"\\u0041"}'
    assert lay_out_json(kept) == '{\n  "a": 1.00,\n  "a": 1e400,\n  "b": "\\u0041"\n}'
    for broken in ("{broken", "", "[" * 5_000):
        assert lay_out_json(broken) == broken


def test_a_sentence_begins_large_and_stays_as_it_is():
    """Only the first letter changes: what follows may be somebody's value."""
    assert begin_sentence("quarantine 3: 'NEVER Ever' at Checkout_Paid") == (
        "Quarantine 3: 'NEVER Ever' at Checkout_Paid"
    )
    assert begin_sentence("") == ""
