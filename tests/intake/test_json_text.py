"""Slicing JSON without reading it: every element of a whole array is found, and damage stays where it is."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from tallymark.intake.json_text import split_array, split_lines

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(['"', "\\", "]", "[{", "a,b", '\\"']),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(values=st.lists(_VALUES, max_size=8), indent=st.sampled_from([None, 0, 2]), ascii_only=st.booleans())
def test_slices_of_a_valid_array_are_its_elements(values, indent, ascii_only):
    """For any valid array the slices decode to what a JSON decoder finds in it."""
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode()
    slices = list(split_array(text))
    assert all(whole for _, _, whole in slices)
    assert [json.loads(text[start:end]) for start, end, _ in slices] == values


@given(values=st.lists(_VALUES, min_size=1, max_size=5), cut=st.integers(1, 10_000))
def test_cut_array_keeps_its_whole_elements(values, cut):
    """An array that ends too early gives the elements before the cut whole, and the rest as not whole."""
    text = json.dumps(values).encode()
    cut = max(1, cut % len(text))
    *whole, last = split_array(text[:cut])
    assert [json.loads(text[start:end]) for start, end, _ in whole] == values[: len(whole)]
    assert not last[2]
    assert last[1] == cut


def test_broken_element_does_not_cost_its_neighbours():
    """An element that is no JSON is one slice between whole ones."""
    text = b'[{"a":1}, {broken: yes}, nonsense, {"b":[2,3]}]'
    assert [text[start:end].strip() for start, end, _ in split_array(text)] == [
        b'{"a":1}', b"{broken: yes}", b"nonsense", b'{"b":[2,3]}',
    ]  # fmt: skip


def test_what_follows_the_array_is_one_more_slice():
    """Bytes behind the closing bracket are not lost in silence."""
    assert list(split_array(b"[1] x")) == [(1, 2, True), (3, 5, False)]
    assert list(split_array(b"[]")) == []
    assert list(split_array(b"[1,]")) == [(1, 2, True), (3, 3, True)]


def test_deep_nesting_is_counted_not_recursed():
    """A hundred thousand brackets are one slice."""
    text = b"[" + b"[" * 100_000 + b"]" * 100_000 + b",1]"
    assert [(whole, end - start) for start, end, whole in split_array(text)] == [(True, 200_000), (True, 1)]


@given(lines=st.lists(st.binary(max_size=12).filter(lambda line: b"\n" not in line), max_size=8))
def test_lines(lines):
    """Lines are found with their places, blank ones left out."""
    text = b"\n".join(lines)
    found = [text[start:end] for start, end, _ in split_lines(text)]
    assert found == [line for line in lines if line.strip(b" \t\r\n")]
