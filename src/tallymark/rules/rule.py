"""What a privacy rule is: a name, how its findings are recognised, and what a quick look at bytes can tell.

Each file in `kinds/` makes one; `privacy.py` lists them and applies them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tallymark.rules.places import Place


def _keep(text: str) -> str:
    """Return the text: other text is another identifier."""
    return text


@dataclass(frozen=True, slots=True)
class Rule:
    """One privacy rule.

    `redact` takes a text and its place, and returns the text without what the rule forbids and how many replacements
    were made. `hints` are RE2 patterns over the bytes of JSON text without escapes: where for none of the lists all
    patterns are found, the rule changes nothing. `placeholder` stands where something was taken out of a text.
    `doubtful_alone`: a value that is nothing but a finding may be something else, so it stays countable. Identifiers
    with the same `normalize` get the same pseudonym.
    """

    name: str
    redact: Callable[[str, Place], tuple[str, int]]
    hints: tuple[tuple[bytes, ...], ...]
    placeholder: str = ""
    doubtful_alone: bool = False
    normalize: Callable[[str], str] = _keep
