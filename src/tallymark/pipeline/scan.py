"""A quick look over the bytes of JSON text: what can certainly not be in it.

The receiver scans a whole body at once, the redact step a single event where the body could not be cleared. All
patterns are looked for in one pass by an automaton, so no text makes it slow: this costs half a microsecond an event,
looking at values ten.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import re2

from tallymark.rules.kinds import KINDS
from tallymark.rules.privacy import RULES


@dataclass(frozen=True, slots=True)
class Scan:
    """What may be in a text; False means certainly absent.

    `people`: something that a privacy rule looks for, by one of `rules`. `escapes`: escaped characters, such as NUL.
    `long_integers`: integers of so many digits that they may not fit 64 bits. `odd`: JSON that has to be
    decoded whole: numbers with exponents, empty names, attributes that are empty or no object, spaces between tokens.
    """

    people: bool = True
    escapes: bool = True
    long_integers: bool = True
    odd: bool = True
    rules: frozenset[str] = frozenset(RULES)


# What is assumed of a text that nobody has looked over: anything may be in it.
FULL_SCAN = Scan()
_NOTHING = Scan(people=False, escapes=False, long_integers=False, odd=False, rules=frozenset())


def scan_text(text: bytes) -> Scan:
    """Look over JSON text; may find what is not there, never misses what is."""
    numbers = _PATTERNS.Match(text)
    return _build_scan(tuple(numbers)) if numbers else _NOTHING


@lru_cache(maxsize=4096)
def _build_scan(numbers: tuple[int, ...]) -> Scan:
    """Return what it means that the patterns of these numbers were found."""
    found = {_MEANINGS[number] for number in numbers}
    escapes = "escape" in found
    seen = frozenset(numbers)
    # Escapes may hide any of what a rule looks for.
    rules = FULL_SCAN.rules if escapes else frozenset(rule for rule, together in _HINTS if together <= seen)
    return Scan(bool(rules), escapes, "long integer" in found, "odd" in found, rules)


# What it means that a pattern is found. A hint means nothing by itself: see `_HINTS`.
_LOOKED_FOR: list[tuple[str, bytes]] = [
    ("escape", rb"\\"),
    ("long integer", rb"\d{19}"),
    ("odd", rb"[:,\[]\s*-?\d[\d.]*[eE]"),
    # Forms that our own encoder would write differently: the same event must stay the same text whichever way it goes.
    ("odd", rb'":\s|"\s+:|,\s+"|\{\s|\s\}'),
    ("odd", rb"[\d.]{17}|\.\d+0[,}]|-0[,}]"),
    ("odd", rb'""\s*:'),
    ("odd", rb'"attributes"\s*:\s*(?:[^{\s]|\{\s*\})'),
]
# The rule that may find something where all patterns of these numbers are found.
_HINTS: list[tuple[str, frozenset[int]]] = []
for _rule in KINDS:
    for _together in _rule.hints:
        _HINTS.append((_rule.name, frozenset(range(len(_LOOKED_FOR), len(_LOOKED_FOR) + len(_together)))))
        _LOOKED_FOR += [("hint", pattern) for pattern in _together]
_MEANINGS = tuple(meaning for meaning, _ in _LOOKED_FOR)


def _build_patterns() -> re2.Set:
    options = re2.Options()
    # Bytes are bytes here: what is no UTF-8 was found by the decoder.
    options.encoding = re2.Options.Encoding.LATIN1
    patterns = re2.Set.SearchSet(options)
    for _, pattern in _LOOKED_FOR:
        patterns.Add(pattern)
    patterns.Compile()
    return patterns


_PATTERNS = _build_patterns()
