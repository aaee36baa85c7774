"""A path in front of every address, where `public_url` has one: tallymark behind a reverse proxy at `/tm/`.

Inside, every address begins at `/`. The prefix comes off a request's path, where the proxy has left it there, and goes onto what
leads back: links and forms of a page, where it moves to, and where cookies count. The wiring puts this around both ways in.

Two kinds of address have it by themselves. Whole ones, in messages, embeds and snippets, begin with `public_url`. Scripts build
theirs from their own (`import.meta.url`), so that a cached script is the same under every path.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

Message = MutableMapping[str, Any]
Application = Callable[[Message, Any, Any], Awaitable[None]]

# Where the scope's state says it to whoever renders a page.
PREFIX: Final = "prefix"
# Attributes that hold addresses of ours. Text in a page cannot look like one: its quotation marks are escaped.
_ADDRESS: Final = re.compile(r'(\s(?:href|src|action|formaction|data-from|data-again)=")(?=/(?!/))')
_COOKIE_PATH: Final = re.compile(rb"(;\s*path=)/([^;]*)", re.IGNORECASE)


def parse_prefix(public_url: str) -> str:
    """Return the path of a public address as an address holds it, `/tm`; '' where it has none."""
    path = "/".join(part for part in unquote(urlsplit(public_url).path).split("/") if part)
    return "/" + quote(path) if path else ""


def remove_prefix(path: str, prefix: str) -> str:
    """Return a request's path as it is inside. A proxy that takes the prefix away itself is as good."""
    prefix = unquote(prefix)
    return path[len(prefix) :] or "/" if path == prefix or path.startswith(f"{prefix}/") else path


def lead_back(html: str, prefix: str) -> str:
    """Return a page whose addresses begin with the prefix."""
    return _ADDRESS.sub(lambda found: found[1] + prefix, html) if prefix else html


def add_prefix(app: Application, prefix: str) -> Application:
    """Return the application with its answers' headers led back."""
    if not prefix:
        return app
    front = prefix.encode()

    async def application(scope: Message, receive: Any, send: Any) -> None:
        async def send_led(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [_lead(name, value, front) for name, value in message.get("headers", ())]
            await send(message)

        if scope["type"] == "http":
            scope["state"][PREFIX] = prefix
            await app(scope, receive, send_led)
        else:
            await app(scope, receive, send)

    return application


def _lead(name: bytes, value: bytes, front: bytes) -> tuple[bytes, bytes]:
    if name.lower() == b"location" and value.startswith(b"/") and not value.startswith(b"//"):
        return name, front + value
    if name.lower() == b"set-cookie":
        return name, _COOKIE_PATH.sub(lambda found: found[1] + front + b"/" + found[2], value)
    return name, value
