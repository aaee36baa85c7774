"""Texts to copy hold the real address and survive the shell and Python."""

from __future__ import annotations

import ast
import json
import shlex

from hypothesis import given
from hypothesis import strategies as st

from tallymark.web.pages.snippets import build_question_snippets, build_send_snippets, render_literal

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(PLAIN)
def test_python_reads_what_was_written(value):
    """A question as a Python literal is the question, quotes and all."""
    assert ast.literal_eval(render_literal(value)) == value


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_the_shell_hands_the_question_on_unchanged(text):
    """Nothing in an event's name ends the quotes around the question."""
    question = {"kind": "trend", "series": [{"event_name": text}]}
    snippets = {snippet.name: snippet.text for snippet in build_question_snippets(question, "http://h:1")}
    words = shlex.split(snippets["curl"], comments=True)
    assert json.loads(words[-1]) == question
    assert json.loads(snippets["json"]) == question
    ast.parse(snippets["python"])


def test_the_address_is_the_real_one():
    """Each snippet can be pasted as it is; only the key comes from the environment."""
    for snippet in build_send_snippets("https://metrics.example"):
        assert "https://metrics.example" in snippet.text
        assert "TALLYMARK_WRITE_KEY" in snippet.text
