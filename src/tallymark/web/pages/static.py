"""`/static/`: our own scripts and styles, and the charts' runtime, each under an address that never changes its content.

The runtime comes out of the installed `vl_convert` in a process of its own, since that takes a second and holds the
interpreter; it is kept, compressed, in the data folder.
"""

from __future__ import annotations

import asyncio
import gzip
import importlib.metadata
import os
import sys
from pathlib import Path
from typing import Any, Final

from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler

from tallymark.errors import RequestRefused
from tallymark.web.pages.html import SECURITY_HEADERS, STATIC_FOLDER, static_version
from tallymark.web.pages.packing import accepts_gzip
from tallymark.web.pages.routes import get_page
from tallymark.web.parameters import ANYTHING
from tallymark.web.services import Services

_TYPES: Final = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_FOREVER: Final = "public, max-age=31536000, immutable"
# Written by the child, gzip included, so that the parent only moves bytes.
_MAKE: Final = (
    "import gzip, sys, vl_convert;"
    "sys.stdout.buffer.write(gzip.compress(vl_convert.javascript_bundle().encode(), 9, mtime=0))"
)
_SECONDS: Final = 60


def runtime_version() -> str:
    """Return the version in the address of the charts' runtime."""
    return importlib.metadata.version("vl-convert-python")


class Runtime:
    """The charts' runtime, compressed: made once for a data folder and version, then read from its file."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"vega-{runtime_version()}.js.gz"
        self._lock = asyncio.Lock()
        self._content = b""

    async def read(self) -> bytes:
        """Return the gzip bytes; raises RequestRefused (internal_error) when they cannot be made."""
        async with self._lock:
            if not self._content:
                self._content = await asyncio.to_thread(self._read_file) or await self._make()
        return self._content

    def _read_file(self) -> bytes:
        return self._path.read_bytes() if self._path.exists() else b""

    async def _make(self) -> bytes:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _MAKE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            content, _ = await asyncio.wait_for(child.communicate(), _SECONDS)
        except TimeoutError as error:
            child.kill()
            raise RequestRefused("internal_error", "The charts' runtime took too long to make.") from error
        if child.returncode != 0 or not content:
            raise RequestRefused("internal_error", "The charts' runtime could not be made.")
        await asyncio.to_thread(self._keep, content)
        return content

    def _keep(self, content: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_suffix(f".{os.getpid()}")
        beside.write_bytes(content)
        beside.replace(self._path)


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""
    runtime = Runtime(services.ledger.parent / "cache")
    files = {
        path.name: gzip.compress(path.read_bytes(), 9, mtime=0)
        for path in STATIC_FOLDER.iterdir()
        if path.suffix in _TYPES
    }

    @get_page("/static/{version:str}/{name:str}", *ANYTHING)
    async def get_static(request: Request[Any, Any, Any], version: str, name: str) -> Response[bytes]:
        """Return a file; an address of another version gets the present content, uncached."""
        if name == "vega.js":
            return _render(request, name, await runtime.read(), lasting=version == runtime_version())
        if name not in files:
            raise RequestRefused("not_found", "There is no such file.")
        return _render(request, name, files[name], lasting=version == static_version())

    @get_page("/favicon.ico", *ANYTHING)
    async def get_icon(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Return the mark, for browsers that ask for it under this name."""
        return _render(request, "mark.svg", files["mark.svg"], lasting=False)

    return [get_static, get_icon]


def _render(request: Request[Any, Any, Any], name: str, packed: bytes, *, lasting: bool) -> Response[bytes]:
    headers = {
        **SECURITY_HEADERS,
        "Cache-Control": _FOREVER if lasting else "no-cache",
        "Vary": "Accept-Encoding",
    }
    content = packed
    if accepts_gzip(request.headers.get("accept-encoding", "")):
        headers["Content-Encoding"] = "gzip"
    else:
        content = gzip.decompress(packed)
    return Response(content, headers=headers, media_type=_TYPES[Path(name).suffix])
