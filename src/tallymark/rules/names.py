"""The names of members and of parameters as words, and which words name a secret.

`places` asks about members of events, the rule `url_token` about parameters in texts. Names are read as words, so
`apiKey`, `api_key` and `API-Key` are the same.
"""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def read_words(words: str) -> frozenset[str]:
    """Return the words of a text as a set: tables of words read better as text."""
    return frozenset(words.split())


def split_name(name: str) -> list[str]:
    """Return the words of a name in lower case, without the numbers at its end: `apiKey2` is `api`, `key`."""
    words = [word.lower() for word in _WORDS.findall(name)]
    while words and words[-1].isdigit():
        words.pop()
    return words


def join_words(words: frozenset[str]) -> bytes:
    """Return alternatives of a pattern over bytes, for the quick look that precedes a rule."""
    return "|".join(sorted(words)).encode()


# As the last word these name a secret, of a member as well as of a parameter.
PASSWORD_WORDS: Final = read_words("password passwd passphrase pwd")
TOKEN_WORDS: Final = read_words("token secret authorization credential credentials jwt apikey")
# In front of `key` these make it a secret.
KEYS_OF: Final = read_words("api access secret private auth signing encryption master")
