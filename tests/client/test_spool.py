"""The spool: what could not be sent survives the process and is sent once the server is there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tallymark import Client
from tallymark.client.spool import Spool


def files(folder):
    return sorted(path for path in Path(folder).rglob("*.ndjson"))


def fail(handler, _events):
    handler.answer(503, b"{}")


def names(intake):
    return [event["event_name"] for event in intake.events]


def test_what_the_server_did_not_take_goes_to_disk_and_arrives_later(intake, connect, tmp_path):
    """While the server fails events move to disk, in order; once it answers they arrive and the folder is empty."""
    intake.always = fail
    client = connect(spool_dir=str(tmp_path), flush_interval=0.02)
    for number in range(5):
        client.behavior(f"e{number}")
        assert intake.wait_for(lambda number=number: client.stats().spooled == number + 1)
    stats = client.stats()
    assert (stats.recorded, stats.waiting, stats.waiting_bytes) == (5, 5, 0)
    intake.always = None
    assert client.flush(20)
    assert names(intake) == [f"e{number}" for number in range(5)]
    assert files(tmp_path) == []
    stats = client.stats()
    assert (stats.sent, stats.waiting, stats.spooled, stats.dropped) == (5, 0, 0, {})


def test_close_moves_what_waits_to_disk_and_the_next_process_sends_it(intake, connect, tmp_path):
    """Events left at close are dropped for nobody: another client with the same folder sends them, with their ids."""
    intake.always = lambda handler, _: handler.server.released.wait(60)
    client = connect(spool_dir=str(tmp_path), batch_events=2)
    for number in range(7):
        client.behavior("left", number=number)
    assert intake.wait_for(lambda: intake.requests)
    assert client.close(0.2), "nothing was dropped"
    assert client.stats().dropped == {}
    assert client.stats().spooled == 7
    assert files(tmp_path)
    intake.released.set()
    intake.always = None
    later = connect(spool_dir=str(tmp_path))
    later.behavior("new")
    assert intake.wait_for(lambda: len(intake.events) == 8)
    assert later.flush(20)
    assert sorted(
        event["attributes"]["number"] for event in intake.events if event["event_name"] == "left"
    ) == list(range(7))
    assert later.stats().recorded == later.stats().sent == 8
    assert files(tmp_path) == []


def test_a_killed_process_loses_nothing_that_was_spooled(intake, tmp_path):
    """After kill -9 of a process whose server was down, the next process sends what it had spooled."""
    program = f"""
import time
from tallymark import Client
client = Client({intake.url!r}, "test-key", spool_dir={str(tmp_path)!r}, flush_interval=0.02, retry_base=0.01)
for _ in range(20):
    client.behavior("survivor")
while client.stats().spooled < 20:
    time.sleep(0.01)
print("spooled", flush=True)
time.sleep(60)
"""
    intake.always = fail
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "spooled\n"
        child.send_signal(signal.SIGKILL)
    intake.always = None
    with Client(intake.url, "test-key", spool_dir=str(tmp_path), flush_interval=0.02) as client:
        client.behavior("next")
        assert client.flush(20)
        assert intake.wait_for(lambda: len(set(intake.ids)) == 21)
    assert files(tmp_path) == []


def test_another_server_or_key_never_gets_it(intake, connect, tmp_path, refused_port):
    """What was meant for one server is not sent to another that shares the folder."""
    first = connect(url=f"http://127.0.0.1:{refused_port}", spool_dir=str(tmp_path))
    first.behavior("for the first")
    assert intake.wait_for(lambda: first.stats().spooled == 1)
    second = connect(spool_dir=str(tmp_path))
    second.behavior("for the second")
    assert second.flush(20)
    assert second.close(20)
    assert names(intake) == ["for the second"]


def test_a_full_or_unwritable_spool_harms_nobody(intake, connect, tmp_path, warnings_said):
    """Without room events wait in memory; at close they count as spool_full."""
    intake.always = fail
    (tmp_path / "file").write_text("no folder")
    for folder, room in ((tmp_path / "small", 10), (tmp_path / "file", 10**9)):
        client = connect(spool_dir=str(folder), spool_bytes=room)
        client.behavior("x")
        assert intake.wait_for(lambda client=client: client.stats().retries > 1)
        assert (client.stats().waiting, client.stats().spooled) == (1, 0)
        assert not client.close(0.05)
        assert client.stats().dropped == {"spool_full": 1}
    assert any("TALLYMARK_SPOOL_DIR" in said for said in warnings_said)


def test_two_holders_never_have_the_same_batch(tmp_path):
    """A batch that one takes is invisible to the other until it is given back or settled."""
    one, two = Spool(str(tmp_path), 10**6), Spool(str(tmp_path), 10**6)
    assert one.write([b'{"a":1}', b'{"a":2}'])
    assert one.take() == ([b'{"a":1}', b'{"a":2}'], True)
    assert two.take() is None
    one.give_back()
    assert two.take() == ([b'{"a":1}', b'{"a":2}'], False)
    two.settle()
    assert one.take() is None
    assert files(tmp_path) == []


@pytest.mark.parametrize("junk", [b"", b"\n"], ids=["empty", "blank"])
def test_junk_in_the_folder_is_stepped_over(tmp_path, junk):
    """Files without events and unfinished ones are no batches."""
    (tmp_path / "0-junk.ndjson").write_bytes(junk)
    (tmp_path / "1-half.part").write_bytes(b'{"a":')
    spool = Spool(str(tmp_path), 10**6)
    assert spool.write([b"{}"])
    assert spool.take() == ([b"{}"], True)
