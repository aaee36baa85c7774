"""What processes take, read from a /proc that the test made, and from the machine's own."""

from __future__ import annotations

import os
import sys

import pytest

from tallymark.server.process_state import ProcessState, read_processes

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def _make(proc, pid, role, *, ticks, started, pss=""):
    folder = proc / str(pid)
    folder.mkdir()
    words = [sys.executable, "-m", "tallymark.server.processes", role] if role else ["sleep", "web"]
    (folder / "cmdline").write_bytes(b"\0".join(word.encode() for word in words) + b"\0")
    fields = ["S", *["0"] * 10, str(ticks), str(ticks), *["0"] * 6, str(started), "0"]
    (folder / "stat").write_text(f"{pid} (a name) with) {' '.join(fields)}\n")
    (folder / "statm").write_text("90 7 3 1 0 5 0\n")
    if pss:
        (folder / "smaps_rollup").write_text(
            f"0-f ---p [rollup]\nRss:  900 kB\nPss:  {pss} kB\nPss_Dirty: 1 kB\n"
        )


def test_roles_memory_and_cpu(tmp_path):
    """The supervisor and its children are found by role; where the share is not told, resident memory is."""
    _make(tmp_path, 10, "", ticks=_TICKS, started=5, pss="100")
    _make(tmp_path, 11, "web", ticks=2 * _TICKS, started=6, pss="200")
    _make(tmp_path, 12, "store", ticks=0, started=7)
    _make(tmp_path, 13, "", ticks=9, started=8)
    for thread, children in ((10, "11 13 "), (15, "12 99 ")):
        (tmp_path / "10" / "task" / str(thread)).mkdir(parents=True)
        (tmp_path / "10" / "task" / str(thread) / "children").write_text(children)
    assert read_processes(10, tmp_path) == {
        "serve": ProcessState(5, 2.0, 102_400),
        "web": ProcessState(6, 4.0, 204_800),
        "store": ProcessState(7, 0.0, 7 * _PAGE),
    }


def test_where_there_is_no_proc(tmp_path):
    """Nothing is found, and nothing raised."""
    assert read_processes(10, tmp_path / "none") == {}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_a_process_of_this_machine():
    """The real /proc is read as the made one."""
    state = read_processes(os.getpid())["serve"]
    assert state.cpu_seconds > 0
    assert state.memory_bytes > 1_000_000
    assert state.started > 0
