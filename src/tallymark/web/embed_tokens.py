"""The token in an embed's address: its number, its end and a signature over what it shows. Pure.

HMAC-SHA-256 (RFC 2104) under the installation's secret. A token says nothing that its holder could change: the panel and
its fixed conditions stand in the catalog, and the signature is over them too.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from datetime import datetime

from tallymark.catalog.embeds import Embed

_TOKEN = re.compile(r"([1-9][0-9]{0,9})\.([0-9]{1,11})\.([A-Za-z0-9_-]{43})", re.ASCII)


def sign_token(embed: Embed, secret: bytes) -> str:
    """Return the token of an embed."""
    expires = int(embed.expires_at.timestamp())
    return f"{embed.id}.{expires}.{_sign(embed, expires, secret)}"


def parse_number(token: str) -> int | None:
    """Return the number that a token claims, None where it is no token at all."""
    found = _TOKEN.fullmatch(token)
    return int(found[1]) if found else None


def is_valid(token: str, embed: Embed, secret: bytes, now: datetime) -> bool:
    """Tell whether a token is that of the embed, and neither over nor revoked."""
    found = _TOKEN.fullmatch(token)
    if found is None or int(found[1]) != embed.id:
        return False
    signed = hmac.compare_digest(found[3], _sign(embed, int(found[2]), secret))
    return signed and embed.revoked_at is None and now < embed.expires_at


def _sign(embed: Embed, expires: int, secret: bytes) -> str:
    parts = ("embed", str(embed.id), str(expires), embed.project, embed.dashboard, embed.panel, embed.filters)
    digest = hmac.new(secret, "\0".join(parts).encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
