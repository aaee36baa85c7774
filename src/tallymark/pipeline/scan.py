"""A quick look over the bytes of JSON text: what can certainly not be in it.

The receiver scans a whole body at once, the redact step a single event where the body could not be cleared.
Only searches that run at memory speed are used: this costs a microsecond an event, looking at values ten.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Digits become 0, so that one search finds any run of them.
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_CARD_RUN = b"0" * 13
_INTEGER_RUN = b"0" * 19
_ONE = ord("1")
_WORD = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_.-")
_CARD_GROUPS = (b"0000-0000-0000-0", b"0000-000000-0000")
_CARD_SPACED = (b"0000 0000 0000 0", b"0000 000000 0000")
# Each begins with a rare byte that the search can jump to: IPv4 (and what follows a token's first part), IPv6.
_ADDRESS_OR_TOKEN = re.compile(rb"\.(?:\d{1,3}\.\d{1,3}\.\d|eyJ)")
_ADDRESS_6 = re.compile(rb":(?::|[0-9a-fA-F]{1,4}:[0-9a-fA-F]{0,4}:)")
# A user agent names a product and its version, so it has a slash.
_AGENT = re.compile(rb"Mozilla/|(?i:gent|\"ua\")")
# Whatever counts as a space in Unicode may stand behind the word.
_CREDENTIALS = re.compile(rb"(?:bearer|basic)[\s\x1c-\x1f\x80-\xff]")


@dataclass(frozen=True, slots=True)
class Scan:
    """What may be in a text; False means certainly absent.

    `people`: something that a privacy rule looks for. `escapes`: escaped characters, such as NUL.
    `long_integers`: integers of so many digits that they may not fit 64 bits.
    """

    people: bool = True
    escapes: bool = True
    long_integers: bool = True


# What is assumed of a text that nobody has looked over: anything may be in it.
FULL_SCAN = Scan()


def scan_text(text: bytes) -> Scan:
    """Look over JSON text; may find what is not there, never misses what is."""
    zeros = text.translate(_DIGITS)
    escapes = b"\\" in text
    long_run = _CARD_RUN in zeros
    people = (
        # Escapes may hide any of what follows.
        escapes
        or b"@" in text
        or b"=" in text
        or (long_run and _begins_a_card(text, zeros, _CARD_RUN))
        or any(_begins_a_card(text, zeros, group) for group in _CARD_GROUPS)
        or (b" " in text and (any(group in zeros for group in _CARD_SPACED) or _may_hold_credentials(text)))
        or (b"/" in text and _AGENT.search(text) is not None)
        or _ADDRESS_OR_TOKEN.search(text) is not None
        or _ADDRESS_6.search(text) is not None
    )
    return Scan(people, escapes, long_run and _INTEGER_RUN in zeros)


def _begins_a_card(text: bytes, zeros: bytes, shape: bytes) -> bool:
    """Tell whether digits of this shape begin anywhere outside of a word or a longer number.

    No issuer's numbers begin with 1, but the milliseconds since 1970 do; and UUIDs have groups of four as well.
    """
    at = zeros.find(shape)
    while at >= 0:
        if text[at] != _ONE and (at == 0 or text[at - 1] not in _WORD):
            return True
        at = zeros.find(shape, at + 1)
    return False


def _may_hold_credentials(text: bytes) -> bool:
    return _CREDENTIALS.search(text.lower()) is not None
