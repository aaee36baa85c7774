"""The reader of files: plain values with their places, and nothing that YAML would make of a text by accident."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tallymark.errors import RequestRefused
from tallymark.plan.kinds.metric import Count
from tallymark.plan.objects import render_yaml
from tallymark.plan.yaml_text import parse_path, parse_yaml


def test_values_and_places():
    """A member's place is where its name stands, an element's where it begins; lines and columns count from 1."""
    document = parse_yaml("metrics:\n  - name: a\n    minimum_sample: 5\n  - name: b\n")
    assert document.value == {"metrics": [{"name": "a", "minimum_sample": 5}, {"name": "b"}]}
    assert document.place_of(("metrics", 0, "minimum_sample")) == (3, 5)
    assert document.place_of(("metrics", 1)) == (4, 5)
    assert document.place_of(("metrics", 1, "nothing", 7)) == (4, 5)
    assert parse_path("metrics[1].filters[0].op") == ("metrics", 1, "filters", 0, "op")


@pytest.mark.parametrize(
    ("text", "value"),
    [("yes", "yes"), ("no", "no"), ("on", "on"), ("2026-01-31", "2026-01-31"), ("012", "012"), ("1_000", "1_000"),
     ("12:30", "12:30"), ("0x10", "0x10"), (".inf", ".inf"), ("1e3", 1000.0), ("-5", -5), ("0.5", 0.5), ("true", True),
     ("null", None), ("~", None), ("'5'", "5"), ('"true"', "true"), ("1" * 25, "1" * 25)],
)  # fmt: skip
def test_what_a_scalar_means(text, value):
    """Words, dates, times and odd numbers stay texts; numbers, true, false and null are what JSON has."""
    found = parse_yaml(f"a: {text}").value["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "at", "says"),
    [
        ("a: 1\na: 2", "line 2, column 1", "twice"),
        ("a: &x [1]\nb: *x", "line 1, column 4", "Anchors"),
        ("a: !!python/object:os.system x", "line 1, column 4", "Tags"),
        ("a: [1, 2", "line 2, column", "no YAML"),
        ("a: b: c", "line 1, column", "no YAML"),
        ("? [a]\n: b", "line 1, column 3", "key is a text"),
        ("a: " + "[" * 40 + "]" * 40, "line 1, column", "deeper"),
        ("a: 1\n--- \nb: 2", "line 2, column", "no YAML"),
        ("a: \x00", "line 1", "no YAML"),
        ("x: " + "y" * 1_100_000, "line 1", "1,048,576 bytes"),
    ],
)  # fmt: skip
def test_mistakes_say_where(text, at, says):
    """What is no YAML, or more than we read, is refused with its line and column."""
    with pytest.raises(RequestRefused) as refusal:
        parse_yaml(text)
    assert refusal.value.code == "invalid_definition"
    assert refusal.value.at.startswith(at)
    assert says in refusal.value.message


def test_a_small_text_stays_a_small_value():
    """The bomb of aliases that blows up a few hundred bytes is refused before anything is built."""
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(RequestRefused, match="Anchors"):
        parse_yaml("\n".join(lines))


# What YAML, or a program that splits lines, takes for more than a character.
_ODD = st.text(
    alphabet="a \t\r\n\x0b\x0c\x1c\x85\xa0\u2028\u2029\ufeff\ufffe#:'\"-|>%@&*!?{}[],\\",
    min_size=1,
    max_size=12,
)
_TEXT = st.one_of(
    _ODD, st.text(alphabet=st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=30)
)


@given(
    value=st.one_of(
        _TEXT, st.sampled_from(["1e3", "007", "yes", "null", "~", "5", "-0.5", "a: b", "# c", "- x"])
    )
)
def test_written_texts_are_read_back(value):
    """What export writes is read as the same text, whatever it looks like."""
    metric = Count(name="a", event_name=value, title=value[:30])
    document = parse_yaml(render_yaml({"metric": [metric]}))
    assert document.value["metrics"] == [
        {"kind": "count", "name": "a", "title": value[:30], "event_name": value}
    ]


def test_it_is_yaml():
    """What we take is YAML for everybody else, too: an ordinary reader gives the same lists and texts."""
    text = "metrics:\n  - {name: a, tags: [x, 'y']}\n"
    assert yaml.safe_load(text) == parse_yaml(text).value
