"""Drawing specifications without a browser: SVG or PNG, by Vega in a process of its own.

Drawing holds the interpreter for tens of milliseconds, so it is never done in this process: the intake's loop is here.
Pictures are remembered by what they show. Those that must be made are made one after another, with what is asked for them: a
page of thirty pictures would otherwise take all processors, and who sends events would wait for one. Projects take turns, and
within a project its people and its embeds.
"""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

from tallymark.errors import RequestRefused
from tallymark.fair_queue import Bounds
from tallymark.web.remembered import Remembered
from tallymark.web.shares import RETRY_AFTER, Share
from tallymark.web.single_flight import SingleFlight

PictureFormat = Literal["svg", "png"]

_MOST_PICTURES: Final = 256
_SECONDS: Final = 20.0
_LOOK_SECONDS: Final = 0.5
# One picture after another. So many of a project, and of one person or embed of it, may wait.
_BOUNDS: Final = Bounds(places=1, each=1, waiting=32, of_sender=8)


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
    _turns: Share = field(default_factory=lambda: Share("pictures", _BOUNDS, _SECONDS))
    _shared: SingleFlight[bytes] = field(
        default_factory=lambda: SingleFlight(Remembered(_MOST_PICTURES, lambda _: 0, 0))
    )

    async def draw(self, spec: bytes, kind: PictureFormat, project: str, sender: str = "") -> bytes:
        """Return the picture of a specification in JSON, drawn once for all who want it.

        Raises RequestRefused: overloaded when it cannot be drawn in time, too_many_at_once when too many of the sender wait.
        """
        shows = hashlib.sha256(spec).digest() + kind.encode()

        async def make(begin: Callable[[], None]) -> bytes:
            async with self.turn(project, sender):
                begin()
                with self._turns.counted():
                    return await self._draw(spec, kind)

        return await self._shared.get((project, shows, 0), make)

    @asynccontextmanager
    async def turn(self, project: str, sender: str = "") -> AsyncIterator[None]:
        """Wait until it is the sender's turn to make something for a picture; raises RequestRefused as `Share.place` does."""
        async with self._turns.place(project, sender):
            yield

    async def _draw(self, spec: bytes, kind: PictureFormat) -> bytes:
        """Draw; a process that does not answer in time, or is gone, is ended."""
        loop = asyncio.get_running_loop()
        try:
            drawing = loop.run_in_executor(self._drawer.open(), render_picture, spec, kind)
            # Where its process is ended nobody asks what became of it.
            drawing.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            try:
                done, _ = await asyncio.wait({drawing}, timeout=_SECONDS)
            except asyncio.CancelledError:
                # The process draws on though nobody waits any more; whoever comes next has it once it is free.
                done, _ = await asyncio.wait({drawing}, timeout=_SECONDS)
                if not done:
                    self._drawer.close()
                raise
            if done:
                return drawing.result()
        except BrokenProcessPool:
            pass
        self._drawer.close()
        raise RequestRefused("overloaded", "The picture could not be drawn in time.", retry_after=RETRY_AFTER)

    def close(self) -> None:
        """End the drawing process and let go of the threads."""
        self._drawer.close()
        self._turns.close()


def begin_drawing(parent: int) -> None:
    """Let all others go first, and end this process when the one that it draws for is gone, however that ended."""
    # Who looks at a picture can wait for it; who sends events is not to notice.
    os.nice(19)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_SECONDS)
        os._exit(0)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()
