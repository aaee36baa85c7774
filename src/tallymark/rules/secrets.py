"""Telling a secret from a word: what was drawn at random mixes letters and digits, or the case of letters.

Nothing here is certain: a caller asks only where a secret may stand.
"""

from __future__ import annotations

import base64
import binascii
import re

_PIECES = re.compile(r"[A-Za-z0-9]+")
_RUNS = re.compile(r"[A-Z]*[a-z]+|[A-Z]+|\d+")
_TIME = re.compile(r"\d{8}T\d{4,6}Z?$")
# A piece of so many characters that mixes letters and digits is no word; of so many of whatever kind neither.
_MIXED, _LONG = 6, 32


def looks_secret(text: str, shortest: int = 12) -> bool:
    """Tell whether a text without spaces was made by chance, and not by somebody who names things."""
    return len(text) >= shortest and any(_is_random(piece) for piece in _PIECES.findall(text[:256]))


def _is_random(piece: str) -> bool:
    if len(piece) < _MIXED or piece.isdigit():
        return False
    if len(piece) >= _LONG:
        return True
    if not piece.isalpha():
        return _TIME.match(piece) is None
    # Words in one: `AccessTokenProvider` has a run of letters for each, chance makes them much shorter.
    return len(piece) >= 12 and len(_RUNS.findall(piece)) * 3 > len(piece)


def holds_credentials(text: str) -> bool:
    """Tell whether a text is what HTTP's Basic scheme sends: `user:password` in base64, or at least as random."""
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return False
    if not decoded.isprintable():
        return False
    return ":" in decoded or (len(text) >= 16 and looks_secret(text) and len(_RUNS.findall(text)) > 4)
