"""The library's one logger, and warnings that do not repeat themselves.

Nothing here configures logging: the logger `tallymark` has a NullHandler and the application decides the rest.
Every message ends with a fix.
"""

from __future__ import annotations

import logging
import threading
import time

LOGGER = logging.getLogger("tallymark")
LOGGER.addHandler(logging.NullHandler())

_REPEAT_SECONDS = 60.0
_MAX_TOPICS = 1000
_seen: dict[str, float] = {}
_inside = threading.local()


def _say(level: int, message: str, *, trace: bool = False) -> None:
    # A handler may record an event, whose fault may be logged again: one level is enough.
    if getattr(_inside, "busy", False):
        return
    _inside.busy = True
    try:
        LOGGER.log(level, "%s", message, exc_info=trace)
    except Exception:  # noqa: BLE001, S110  a handler of the application's failed: logging is where that would be said
        pass
    finally:
        _inside.busy = False


def warn_once(topic: str, message: str) -> None:
    """Warn about `topic` once in the life of the process. Never raises."""
    if topic not in _seen and len(_seen) < _MAX_TOPICS:
        _seen[topic] = float("inf")
        _say(logging.WARNING, message)


def warn_fault(action: str) -> None:
    """Warn of a fault of ours in `action`, at most once a minute. Called while handling the exception; never raises."""
    warn_sometimes(action, f"tallymark: {action} failed. Fix: report it with this trace.", trace=True)


def warn_sometimes(topic: str, message: str, *, trace: bool = False) -> bool:
    """Warn about `topic` at most once a minute; True when it was said. Never raises."""
    now = time.monotonic()
    last = _seen.get(topic)
    if (last is not None and now - last < _REPEAT_SECONDS) or (last is None and len(_seen) >= _MAX_TOPICS):
        return False
    _seen[topic] = now
    _say(logging.WARNING, message, trace=trace)
    return True
