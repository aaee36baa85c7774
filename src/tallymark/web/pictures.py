"""Drawing specifications without a browser: SVG or PNG, by Vega in a process of its own.

Drawing holds the interpreter for tens of milliseconds, so it is never done in this process: the intake's loop is here.
Pictures are remembered by what they show.
"""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import os
import threading
import time
from collections import OrderedDict
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Final, Literal

from tallymark.errors import RequestRefused

PictureFormat = Literal["svg", "png"]

_MOST_PICTURES: Final = 256
_SECONDS: Final = 20.0
_LOOK_SECONDS: Final = 0.5
# Who looks at a picture can wait for it; who sends events is not to notice.
_NICE: Final = 10


def render_picture(spec: bytes, kind: PictureFormat) -> bytes:
    """Draw a specification; runs in the drawing process."""
    import vl_convert  # noqa: PLC0415 - 100 MB that the web process itself never needs

    text = spec.decode()
    if kind == "svg":
        return str(vl_convert.vegalite_to_svg(text)).encode()
    return bytes(vl_convert.vegalite_to_png(text, scale=2))


@dataclass(slots=True)
class Pictures:
    """Draws and remembers. For the event loop; `close` ends the drawing process."""

    _pool: ProcessPoolExecutor | None = None
    _kept: OrderedDict[tuple[str, str], bytes] = field(default_factory=OrderedDict)
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
            loop = asyncio.get_running_loop()
            drawing = loop.run_in_executor(self._open(), render_picture, spec, kind)
            self._drawing[key] = drawing
            drawing.add_done_callback(lambda _: self._drawing.pop(key, None))
        try:
            # Others may wait for the same one: who gives up does not end it for them.
            picture = await asyncio.wait_for(asyncio.shield(drawing), _SECONDS)
        except (TimeoutError, BrokenProcessPool) as error:
            self.close()
            raise RequestRefused(
                "overloaded", "The picture could not be drawn in time.", retry_after=5
            ) from error
        self._kept[key] = picture
        while len(self._kept) > _MOST_PICTURES:
            self._kept.popitem(last=False)
        return picture

    def close(self) -> None:
        """End the drawing process; the next picture starts another."""
        pool, self._pool = self._pool, None
        if pool is not None:
            for process in list(getattr(pool, "_processes", {}).values()):
                process.kill()
            pool.shutdown(wait=False, cancel_futures=True)

    def _open(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, context, _begin, (os.getpid(),))
        return self._pool


def _begin(parent: int) -> None:
    """Let all others go first, and end this process when the one that it draws for is gone, however that ended."""
    os.nice(_NICE)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_SECONDS)
        os._exit(0)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()
