"""How a child process hangs on its parent: when the parent is gone, however it went, the child ends.

The child reads its orders from standard input, which stays open for as long as the parent lives.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1


def tie_to_parent() -> None:
    """End this process as soon as the parent's end of standard input closes.

    On Linux the kernel is asked to do the same, in case native code holds the interpreter at that moment.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_wait_for_end, name="lifeline", daemon=True).start()


def _wait_for_end() -> None:
    try:
        while os.read(0, 4096):
            pass
    except OSError:
        pass
    os._exit(70)
