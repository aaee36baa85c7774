"""Secrets at rest: addresses that hold passwords are encrypted, with a key that is not in the catalog.

Fernet (AES-128 in CBC mode with HMAC-SHA-256, https://github.com/fernet/spec) by `cryptography`. The key is a file of the
data folder that only its owner may read, so that a copy of the catalog alone gives nothing away.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from cryptography.fernet import Fernet, InvalidToken

from tallymark.errors import TallymarkError

KEY_FILE: Final = "sealing.key"


class Sealer:
    """Seals and opens texts."""

    def __init__(self, key: bytes) -> None:
        self._fernet = Fernet(key)

    def seal(self, text: str) -> str:
        """Return the text encrypted."""
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """Return the text again; raises TallymarkError (sealed) where the key is another one."""
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken:
            message = f"It was sealed with another key than that in {KEY_FILE}. Give the address anew."
            raise TallymarkError("sealed", message) from None


def open_sealer(data: Path) -> Sealer:
    """Return the sealer of a data folder; its key is made when there is none."""
    path = data / KEY_FILE
    if not path.exists():
        mine = data / f"{KEY_FILE}.{os.getpid()}"
        with os.fdopen(os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(Fernet.generate_key())
            file.flush()
            os.fsync(file.fileno())
        # Whole or not at all, and the first one wins: several processes may come here at once.
        with suppress(FileExistsError):
            os.link(mine, path)
        mine.unlink()
    return Sealer(path.read_bytes().strip())
