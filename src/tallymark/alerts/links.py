"""Links in messages, and the tokens that make them: who holds one may acknowledge or silence this one trouble. Pure.

HMAC-SHA-256 (RFC 2104) under the installation's secret. A mail program that looks at links ahead does nothing by it: the
page behind one asks first.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from tallymark.alerts.batches import Batch

# People look into their mail on Monday.
VALID: Final = timedelta(days=7)
_TOKEN: Final = re.compile(
    r"([a-z0-9_-]{1,64})\.([a-z][a-z0-9_]{0,63})\.([1-9][0-9]{0,17})\.([0-9]{1,11})\.([A-Za-z0-9_-]{43})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses that a message holds; '' for those that there are not. `parts` are alert and acknowledge by a trouble's key."""

    alert: str = ""
    acknowledge: str = ""
    alerts: str = ""
    parts: dict[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a valid token is about."""

    project: str
    alert: str
    incident: int


def build_links(batch: Batch, public_url: str, secret: bytes, now: datetime) -> Links:
    """Return the links of a message; none where nobody said under which address people reach this server."""
    if not public_url:
        return Links()
    base = public_url.rstrip("/")

    def build(one: Batch) -> tuple[str, str]:
        page = f"{base}/alert?{urlencode({'project': one.project, 'name': one.alert})}"
        token = sign_token(Grant(one.project, one.alert, one.incident), secret, now + VALID)
        return page, f"{base}/alert/answer/{token}"

    page, answer = build(batch)
    parts = {one.key: build(one) for one in batch.parts} if batch.others else {}
    return Links(page, answer, f"{base}/alerts?{urlencode({'project': batch.project})}", parts)


def sign_token(grant: Grant, secret: bytes, expires: datetime) -> str:
    """Return the token for an alert's trouble, valid until a time; raises ValueError without a secret."""
    if not secret:
        raise ValueError("links are signed with the installation's secret, and there is none")
    number = int(expires.timestamp())
    return f"{grant.project}.{grant.alert}.{grant.incident}.{number}.{_sign(grant, number, secret)}"


def parse_token(token: str, secret: bytes, now: datetime) -> Grant | None:
    """Return what a token is about; None for one that is altered or over."""
    found = _TOKEN.fullmatch(token)
    if found is None or not secret:
        return None
    grant, number = Grant(found[1], found[2], int(found[3])), int(found[4])
    if not hmac.compare_digest(found[5], _sign(grant, number, secret)):
        return None
    return grant if now < datetime.fromtimestamp(number, UTC) else None


def _sign(grant: Grant, expires: int, secret: bytes) -> str:
    parts = ("alert", grant.project, grant.alert, str(grant.incident), str(expires))
    digest = hmac.new(secret, "\0".join(parts).encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
