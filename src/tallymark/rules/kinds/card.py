"""Payment card numbers: an issuer's prefix and length, the Luhn check, and nothing around them that says otherwise.

One in ten numbers with such a prefix passes the check by chance. So a bare number is no card where an identifier, a
reference number or a quantity stands.
"""

from __future__ import annotations

import re

from tallymark.rules.places import CARD, TEXT, VERSION, Kind, Place, find_place
from tallymark.rules.rule import Rule

PLACEHOLDER = "[card]"

# In one run, in fours, or as American Express prints them; never inside a longer number, a word or a UUID.
_NUMBER = re.compile(
    r"(?a)(?<![\w.+$€£-])(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}|\d{4}([ -])\d{6}\2\d{4,5})(?![\w-]|\.\d)"
)
# Prefixes and lengths that issuers use (ISO/IEC 7812); they keep time stamps and order numbers out.
_ISSUERS = re.compile(
    r"^(?:4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|[68]\d)\d{11}|6(?:011|5\d\d|4[4-9]\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|62\d{14,17})$"
)
_SEPARATORS = re.compile(r"[ -]")
# Places in which a bare number is something else, unless words around it say that it is a card.
_NO_CARDS = frozenset((Kind.ID, Kind.NUMBER, Kind.NAME, Kind.VERSION))
# A list of numbers is judged like one.
_NOTHING_BUT_NUMBERS = re.compile(r"[\d\s,;|]*")
# Up to three words before the number, and what joins them to it.
_WORDS_BEFORE = re.compile(r"((?:[A-Za-z][\w-]{0,30}[ _/]){0,2}[A-Za-z][\w-]{0,30})[\"'\s:=#/.()\[\]-]{0,6}$")
_UNIT_BEHIND = re.compile(
    r"\s?(?:bytes|[KMGT]?i?B|ms|ns|us|µs|s|sec|seconds|EUR|USD|GBP|CHF|JPY|%|€|\$|£)(?!\w)"
)
_LOOK_BACK = 72
_FEWEST_DIGITS = 13


def is_card_number(digits: str) -> bool:
    """Tell whether digits are a payment card's: an issuer's prefix and length, and the Luhn check (ISO/IEC 7812-1)."""
    if not _ISSUERS.match(digits):
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        number = int(digit)
        if place % 2:
            number = number * 2 - 9 if number > 4 else number * 2
        total += number
    return total % 10 == 0


def redact_cards(text: str, place: Place) -> tuple[str, int]:
    """Replace card numbers; where a bare number may as well be another, it stays."""
    if len(text) < _FEWEST_DIGITS:
        return text, 0
    found = 0
    numbers_only = _NOTHING_BUT_NUMBERS.fullmatch(text) is not None

    def replace(match: re.Match[str]) -> str:
        nonlocal found
        digits = _SEPARATORS.sub("", match[0])
        if not is_card_number(digits):
            return match[0]
        bare = len(digits) == len(match[0])
        if bare and not _stands_for_card(match, place, numbers_only=numbers_only):
            return match[0]
        found += 1
        return PLACEHOLDER

    return _NUMBER.sub(replace, text), found


def _stands_for_card(match: re.Match[str], place: Place, *, numbers_only: bool) -> bool:
    """Tell whether a bare number of a card's form is one, by its place and the words around it."""
    text, start, end = match.string, match.start(), match.end()
    if place is CARD:
        return True
    words = _WORDS_BEFORE.search(text[max(0, start - _LOOK_BACK) : start])
    said = find_place(words[1]) if words else TEXT
    if said is CARD:
        return True
    if place.kind in _NO_CARDS and (place.kind is Kind.NAME or numbers_only):
        return False
    in_path = text[start - 1 : start] == "/" and text[end : end + 1] in ("", "/", "?", "#")
    return not (said.identifies or said is VERSION or in_path or _UNIT_BEHIND.match(text, end))


RULE = Rule(
    "card",
    redact_cards,
    # Milliseconds since 1970 begin with 1, no issuer's numbers do; UUIDs hold such runs inside of words.
    hints=((rb"(?:^|[^0-9A-Za-z_.\-])[2-6](?:\d{12}|\d{3}[ -](?:\d{4}[ -]\d{4}[ -]\d|\d{6}[ -]\d{4}))",),),
    placeholder=PLACEHOLDER,
    doubtful_alone=True,
)
