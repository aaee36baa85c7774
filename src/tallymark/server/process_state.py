"""What the server's processes take, read from Linux' /proc: memory, CPU seconds, and since when each runs.

`own_numbers.py` calls it. Where there is no /proc nothing is found, and nothing else suffers.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

# The supervisor, as its log lines name it.
SUPERVISOR = "serve"
_MODULE = b"tallymark.server.processes"
_TICKS = os.sysconf("SC_CLK_TCK")
# Places in /proc/PID/stat behind the command's name: proc(5) counts them from 1, the state is its third.
_USER_TICKS, _SYSTEM_TICKS, _STARTED = 11, 12, 19


@dataclass(frozen=True, slots=True)
class ProcessState:
    """One process. `started` is in clock ticks since the machine's start, so that a restart shows; memory is its PSS."""

    started: int
    cpu_seconds: float
    memory_bytes: int


def read_processes(supervisor: int, proc: Path = Path("/proc")) -> dict[str, ProcessState]:
    """Return the supervisor and its children by role; what cannot be read, or ends meanwhile, is left out."""
    found = {}
    for pid, role in _find_roles(supervisor, proc):
        try:
            found[role] = _read_state(proc / str(pid))
        except (OSError, ValueError, IndexError):
            continue
    return found


def _find_roles(supervisor: int, proc: Path) -> list[tuple[int, str]]:
    roles = [(supervisor, SUPERVISOR)]
    # The kernel lists children by the thread that made them.
    for path in proc.glob(f"{supervisor}/task/*/children"):
        try:
            for pid in map(int, path.read_text().split()):
                words = (proc / str(pid) / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
                if words[-2:-1] == [_MODULE]:
                    roles.append((pid, words[-1].decode()))
        except (OSError, ValueError):
            continue
    return roles


def _read_state(folder: Path) -> ProcessState:
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])
    return ProcessState(int(fields[_STARTED]), ticks / _TICKS, _read_memory(folder))


def _read_memory(folder: Path) -> int:
    """Return the process's share of what it uses (PSS): summed up over processes nothing counts twice."""
    try:
        for line in (folder / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        # Some containers do not allow it; what is resident is always told.
        pass
    return int((folder / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
