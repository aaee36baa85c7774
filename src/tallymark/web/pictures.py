"""Drawing specifications without a browser: SVG or PNG, by Vega in a process of its own.

Drawing holds the interpreter for tens of milliseconds, so it is never done in this process: the intake's loop is here.
Pictures are remembered by what they show. Those that must be made are made one after another, with what is asked for them: a
page of thirty pictures would otherwise take all processors, and who sends events would wait for one.
"""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import os
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

from tallymark.errors import RequestRefused

PictureFormat = Literal["svg", "png"]

_MOST_PICTURES: Final = 256
_SECONDS: Final = 20.0
_LOOK_SECONDS: Final = 0.5
_RETRY_AFTER: Final = 5


def render_picture(spec: bytes, kind: PictureFormat) -> bytes:
    """Draw a specification; runs in the drawing process."""
    import vl_convert  # noqa: PLC0415 - 100 MB that the web process itself never needs

    text = spec.decode()
    if kind == "svg":
        return str(vl_convert.vegalite_to_svg(text)).encode()
    return bytes(vl_convert.vegalite_to_png(text, scale=2))


@dataclass(slots=True)
class Drawer:
    """The drawing process, started when it is needed. One thread, or one loop, uses it."""

    _pool: ProcessPoolExecutor | None = None

    def open(self) -> ProcessPoolExecutor:
        """Return what draws; one picture at a time."""
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, context, begin_drawing, (os.getpid(),))
        return self._pool

    def close(self) -> None:
        """End the process, whatever it is doing; the next picture starts another."""
        pool, self._pool = self._pool, None
        if pool is not None:
            for process in list((getattr(pool, "_processes", None) or {}).values()):
                process.kill()
            pool.shutdown(wait=False, cancel_futures=True)


@dataclass(slots=True)
class Pictures:
    """Draws and remembers. For the event loop; `close` ends the drawing process."""

    _drawer: Drawer = field(default_factory=Drawer)
    _kept: OrderedDict[tuple[str, str], bytes] = field(default_factory=OrderedDict)
    _turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    _drawing: dict[tuple[str, str], asyncio.Future[bytes]] = field(default_factory=dict)

    async def draw(self, spec: bytes, kind: PictureFormat) -> bytes:
        """Return the picture of a specification in JSON; raises RequestRefused (overloaded) when it cannot be drawn in time."""
        key = (hashlib.sha256(spec).hexdigest(), kind)
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            return found
        drawing = self._drawing.get(key)
        if drawing is None:
            drawing = asyncio.ensure_future(self._draw(spec, kind))
            self._drawing[key] = drawing
            drawing.add_done_callback(lambda ended: self._forget(key, ended))
        try:
            # Others may wait for the same one: who gives up does not end it for them.
            picture = await asyncio.shield(drawing)
        except (TimeoutError, BrokenProcessPool) as error:
            raise RequestRefused(
                "overloaded", "The picture could not be drawn in time.", retry_after=_RETRY_AFTER
            ) from error
        self._kept[key] = picture
        while len(self._kept) > _MOST_PICTURES:
            self._kept.popitem(last=False)
        return picture

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until it is one's turn to make something for a picture; raises RequestRefused (overloaded) after a while."""
        try:
            await asyncio.wait_for(self._turn.acquire(), _SECONDS)
        except TimeoutError:
            message = "Too many pictures were asked for at once."
            raise RequestRefused("overloaded", message, retry_after=_RETRY_AFTER) from None
        try:
            yield
        finally:
            self._turn.release()

    async def _draw(self, spec: bytes, kind: PictureFormat) -> bytes:
        """Draw in turn; a process that does not answer in time, or is gone, is ended."""
        async with self.turn():
            drawing = asyncio.get_running_loop().run_in_executor(
                self._drawer.open(), render_picture, spec, kind
            )
            try:
                return await asyncio.wait_for(drawing, _SECONDS)
            except (TimeoutError, BrokenProcessPool):
                self.close()
                raise

    def _forget(self, key: tuple[str, str], ended: asyncio.Future[bytes]) -> None:
        del self._drawing[key]
        if not ended.cancelled():
            # Those who waited were told; where nobody waits any more, nobody has to be.
            ended.exception()

    def close(self) -> None:
        """End the drawing process; the next picture starts another."""
        self._drawer.close()


def begin_drawing(parent: int) -> None:
    """Let all others go first, and end this process when the one that it draws for is gone, however that ended."""
    # Who looks at a picture can wait for it; who sends events is not to notice.
    os.nice(19)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_SECONDS)
        os._exit(0)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()
