"""How somebody else's text is shown: what would hide or turn its neighbours can be seen, nothing else is changed.

Comes in: names, values and messages as they are. Goes out: text for a page. Pure; templates use it as filters, and
charts for their labels. Elements that hold such text are isolated besides: see `style.css`.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

# Control characters, and format characters that show nothing themselves: direction marks, overrides and isolates,
# joiners, soft hyphens, line separators. In JSON the written form means the same character.
_UNSEEN: Final = "\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
_IN_A_LINE: Final = re.compile(f"[{_UNSEEN}]")
_IN_A_BLOCK: Final = re.compile(f"(?![\n\t])[{_UNSEEN}]")


def show_line(text: object) -> str:
    """Return a text of one line with every unseen character written out as JSON would escape it."""
    return _IN_A_LINE.sub(_write_out, str(text))


def show_block(text: object) -> str:
    """Return a text that may have lines: line feeds and tabs stay, other unseen characters are written out."""
    return _IN_A_BLOCK.sub(_write_out, str(text))


def _write_out(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def begin_sentence(text: str) -> str:
    """Return the text with its first letter in upper case and everything else as it is."""
    return text[:1].upper() + text[1:]


def lay_out_json(text: str) -> str:
    """Return JSON in lines; only white space between its parts differs. A text that is not JSON stays."""
    try:
        return msgspec.json.format(text, indent=2)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return text
