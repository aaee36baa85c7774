"""Ends a store process that lives and answers nothing, so that the supervisor, which starts it again, does.

A store that is only busy answers its pings: each has a thread, and the engine lets the interpreter go while it works.
Pings without an answer are counted, not seconds, so that a machine that slept or stood still costs no process.
"""

from __future__ import annotations

import http.client
import subprocess
import threading
import time
from typing import Final
from urllib.parse import urlsplit

import structlog

# How long a ping waits for its answer, and how long from one ping to the next, in seconds.
PING_SECONDS: Final = 3.0
# Pings in a row without an answer after which the process is killed: half a minute.
MISSES: Final = 10

log = structlog.get_logger("tallymark.server")


def watch_store(
    process: subprocess.Popen[bytes],
    url: str,
    stopping: threading.Event,
    *,
    ping_seconds: float = PING_SECONDS,
    misses: int = MISSES,
) -> None:
    """Ping the store at `url` until `stopping` is set or its process ends; kill it after `misses` without an answer."""
    missed = 0
    while process.poll() is None:
        began = time.monotonic()
        missed = 0 if _answers(url, ping_seconds) else missed + 1
        if missed >= misses:
            fix = "it lives and answers no ping: it is killed and started again; nothing acknowledged is lost"
            log.error("store_silent", pings=missed, seconds=round(missed * ping_seconds), fix=fix)
            process.kill()
            return
        if stopping.wait(max(0.0, began + ping_seconds - time.monotonic())):
            return


def _answers(url: str, seconds: float) -> bool:
    """Tell whether the process shows any sign of life; that it turns a connection away is one."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=seconds)
    try:
        connection.request("GET", "/ping")
        connection.getresponse().read()
    except (TimeoutError, ConnectionRefusedError):
        return False
    except (OSError, http.client.HTTPException):
        return True
    else:
        return True
    finally:
        connection.close()
