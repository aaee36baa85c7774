"""Under which address people reach this server, and from which one they come."""

from __future__ import annotations

import re
from typing import Any, Final

from litestar import Request

from tallymark.networks import IpNetwork, find_client, find_neighbourhood

_HOST: Final = re.compile(r"[A-Za-z0-9.\-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")


def find_address(public_url: str, request: Request[Any, Any, Any]) -> str:
    """Return the address under which people reach this server, without a slash at its end."""
    if public_url:
        return public_url.rstrip("/")
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        host = "127.0.0.1:8600"
    return f"{request.scope.get('scheme', 'http')}://{host}"


def find_sender(trusted_proxies: tuple[IpNetwork, ...], request: Request[Any, Any, Any]) -> str:
    """Return what counts as the address of who sent a request; '' for this machine itself."""
    peer = request.client.host if request.client else ""
    forwarded_for = ",".join(request.headers.getall("x-forwarded-for", []))
    return find_neighbourhood(find_client(peer, forwarded_for, trusted_proxies))
