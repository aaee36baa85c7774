"""How much memory the store and one question may use, where the settings leave that to the machine.

Comes in: what the operating system says. Goes out: bytes. The settings call it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_GIB: Final = 1024**3
# Of all memory; the rest is for the file cache, which the store reads from, and for everybody else.
_PART: Final = 4
_LEAST, _MOST = _GIB, 4 * _GIB
# What a container may use, in both versions of cgroups.
_LIMITS: Final = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def find_memory(limits: tuple[Path, ...] = _LIMITS) -> int:
    """Return the bytes of memory that this machine has, or that its container may use."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in limits:
        # Not every system has these, and one without a limit says so by a word.
        with suppress(OSError, ValueError):
            found.append(int(path.read_text(encoding="ascii")))
    return min(found)


def choose_store_memory(memory: int) -> int:
    """Return what the embedded store may use of so much memory: a quarter, from 1 to 4 GiB."""
    return min(max(memory // _PART, _LEAST), _MOST)


def choose_query_memory(store: int) -> int:
    """Return what one question may use of a store's memory: three quarters."""
    return store * 3 // 4
