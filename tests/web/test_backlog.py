"""What a reader has not taken yet of an answer keeps its order, wherever it waits."""

from __future__ import annotations

import random
import threading

import pytest

from tallymark.errors import ReaderStopped
from tallymark.web import backlog as backlog_room
from tallymark.web.backlog import Backlog

SECONDS = 60


@pytest.mark.parametrize("seed", range(5))
def test_every_byte_arrives_in_its_order(monkeypatch, tmp_path, seed):
    """Pieces of any length, a reader now faster and now slower than the store: memory and file in turns."""
    chance = random.Random(seed)
    monkeypatch.setattr(backlog_room, "MEMORY_BYTES", 3000)
    monkeypatch.setattr(backlog_room, "FILE_BYTES", 20_000)
    monkeypatch.setattr(backlog_room, "MEMORY_SECONDS", chance.choice([0.0, 0.002]))
    monkeypatch.setattr(backlog_room, "FILE_SECONDS", float(SECONDS))
    said = [chance.randbytes(chance.randrange(1, 7000)) for _ in range(400)]
    news = threading.Event()
    backlog = Backlog(tmp_path, news.set)

    def push():
        for piece in said:
            backlog.push(piece)
        backlog.end()

    thread = threading.Thread(target=push)
    thread.start()
    got, in_file = [], 0
    while True:
        news.clear()
        if backlog.next_is_in_file:
            piece, in_file = backlog.read_file(), in_file + 1
        else:
            piece = backlog.take()
        if piece == b"":
            break
        if piece is None:
            assert news.wait(SECONDS)
        else:
            got.append(piece)
            if chance.random() < 0.02:
                threading.Event().wait(0.002)
    thread.join(SECONDS)
    assert b"".join(got) == b"".join(said)
    assert in_file
    backlog.close()
    assert list(tmp_path.iterdir()) == []


def test_whoever_pushes_is_told_that_it_is_closed(tmp_path):
    """Also while it waits for room."""
    backlog = Backlog(tmp_path, lambda: None)
    backlog.push(b"x" * backlog_room.MEMORY_BYTES)
    failures = []

    def push():
        try:
            backlog.push(b"y")
        except ReaderStopped as error:
            failures.append(error)

    thread = threading.Thread(target=push)
    thread.start()
    backlog.close()
    thread.join(SECONDS)
    assert len(failures) == 1
    with pytest.raises(ReaderStopped):
        backlog.read_file()
