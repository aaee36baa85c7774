"""Secrets at rest: addresses that hold passwords are encrypted, with a key that is not in the catalog.

Fernet (AES-128 in CBC mode with HMAC-SHA-256, https://github.com/fernet/spec) by `cryptography`. The key is a file of the
data folder that only its owner may read, so that a copy of the catalog alone gives nothing away. It is made while there are
no secrets yet. Lost while there are sealed ones it is not made anew: that would hide that they cannot be opened.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from cryptography.fernet import Fernet, InvalidToken

from tallymark.errors import TallymarkError

KEY_FILE: Final = "sealing.key"

_OTHER: Final = f"The address was sealed with another key than that in {KEY_FILE}. Give the address anew."
_LOST: Final = (
    f"The key {KEY_FILE} is not in the data folder, so no address can be read. Bring it back from a backup; without one remove"
    " all receivers and add them anew."
)
_BROKEN: Final = f"The file {KEY_FILE} holds no key. Bring it back from a backup."
# What is said of addresses that cannot be opened.
SEALED: Final = frozenset((_OTHER, _LOST, _BROKEN))


class Sealer:
    """Seals and opens texts with the key of a data folder, which is read when it is needed: it may come back meanwhile."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._fernet: Fernet | None = None

    def prepare(self) -> None:
        """Make a key where there is none. For who knows that nothing is sealed."""
        if not (self._data / KEY_FILE).exists():
            _make_key(self._data)
        self._fernet = None

    def seal(self, text: str) -> str:
        """Return the text encrypted; raises TallymarkError (sealed) where the key is lost."""
        return self._find_fernet().encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """Return the text again; raises TallymarkError (sealed) where the key is lost, or another one."""
        with suppress(InvalidToken):
            return self._find_fernet().decrypt(sealed.encode()).decode()
        # Another process may have made a key since this one read it.
        self._fernet = None
        try:
            return self._find_fernet().decrypt(sealed.encode()).decode()
        except InvalidToken:
            raise TallymarkError("sealed", _OTHER) from None

    def _find_fernet(self) -> Fernet:
        if self._fernet is None:
            try:
                self._fernet = Fernet((self._data / KEY_FILE).read_bytes().strip())
            except FileNotFoundError:
                raise TallymarkError("sealed", _LOST) from None
            except (OSError, ValueError):
                raise TallymarkError("sealed", _BROKEN) from None
        return self._fernet


def open_sealer(data: Path) -> Sealer:
    """Return the sealer of a data folder."""
    return Sealer(data)


def _make_key(data: Path) -> None:
    """Write a key, whole or not at all; the first one wins, for several processes may come here at once."""
    path, mine = data / KEY_FILE, data / f"{KEY_FILE}.{os.getpid()}"
    with os.fdopen(os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(Fernet.generate_key())
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileExistsError):
        os.link(mine, path)
    mine.unlink()
    # The name, too: what is sealed with the key must not outlive it.
    folder = os.open(data, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
