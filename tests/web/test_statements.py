"""A statement holds its place while the store works for it, and its answer a place of its own as long as its reader reads."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from contextlib import AsyncExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tallymark.errors import ReaderStopped, RequestRefused
from tallymark.fair_queue import Bounds
from tallymark.store.client import StoreClient
from tallymark.web import backlog as backlog_room
from tallymark.web import statements as statements_room
from tallymark.web.shares import Share
from tallymark.web.statements import Order, Statement, Work, pass_on

SECONDS = 60
PIECE = b"x" * 65536
# Far more than waits in memory, or in the system between the two ends.
LARGE = b"".join(b"%07d\n" % number for number in range(3_000_000))


class Far(BaseHTTPRequestHandler):
    """A store that answers `/endless` without an end, `/silent` never, `/large` at length, and everything else in one word.

    `/large/broken` breaks off at the end, `/broken` behind the head, `/broken/later` behind the first piece.
    """

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path.startswith("/silent"):
            self.server.asked.set()
            self.rfile.read(1)
            self.server.left.set()
            return
        if self.path.startswith("/broken"):
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            if self.path.endswith("/later"):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(PIECE), PIECE))
            self.close_connection = True
            return
        if self.path.startswith("/large"):
            self.send_response(200)
            self.send_header("Content-Length", str(len(LARGE) + self.path.endswith("/broken")))
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(LARGE)
            self.close_connection = True
            return
        if not self.path.startswith("/endless"):
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"Ok.\n")
            return
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(PIECE), PIECE))
        except OSError:
            self.server.left.set()
            self.close_connection = True


@pytest.fixture
def far():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Far)
    server.asked, server.left = threading.Event(), threading.Event()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def _run(far, story, folder=None, answers=4, spare=0):
    """Run a story with one place for statements and some for answers; afterwards all of them have to be free."""

    async def run():
        work = Work(
            Share("statements", Bounds(places=1, each=1), SECONDS),
            Share("answers", Bounds(places=answers, each=answers, waiting=1), SECONDS),
            folder or Path(tempfile.gettempdir()),
            spare,
        )
        store = StoreClient(f"http://127.0.0.1:{far.server_port}")
        try:
            await story(work, lambda path: Statement(store, Order("GET", path, {}, b"")))
            async with AsyncExitStack() as places:
                await places.enter_async_context(work.statements.place("z"))
                for _ in range(answers):
                    await places.enter_async_context(work.answers.place("z"))
        finally:
            work.statements.close()
            work.answers.close()
            store.close()

    asyncio.run(asyncio.wait_for(run(), 2 * SECONDS))


async def _get_place(share):
    """Wait until another project has a place."""
    async with share.place("b"):
        pass


async def _see_end(work, far):
    """Wait until another project has the place, and the store knows that nobody waits any more."""
    async with work.statements.place("b"):
        assert await asyncio.to_thread(far.left.wait, SECONDS)


async def _collect(pieces, got):
    async for piece in pieces:
        got.append(piece)


async def _read_rest(pieces):
    return b"".join([piece async for piece in pieces])


def test_an_answer_is_passed_on_and_gives_its_place_back(far):
    """What the store says arrives, and the next project is next."""

    async def story(work, ask):
        for project in ("a", "b"):
            passing = await pass_on(work, project, ask("/whole"))
            assert (passing.status, await _read_rest(passing.pieces())) == (200, b"Ok.\n")

    _run(far, story)


def test_a_reader_that_stops_reading_loses_its_answer_and_its_place(far, monkeypatch):
    """The statement is ended in the store, another project has the place, and whoever reads on is told that it broke off."""
    monkeypatch.setattr(statements_room, "READER_SECONDS", 0.2)

    async def story(work, ask):
        passing = await pass_on(work, "a", ask("/endless"))
        pieces = passing.pieces()
        assert await anext(pieces)
        await _see_end(work, far)
        with pytest.raises(ReaderStopped):
            await anext(pieces)

    _run(far, story)


def test_an_answer_that_nobody_begins_to_read_gives_its_place_back(far, monkeypatch):
    """Also where the client went between the head and the first piece."""
    monkeypatch.setattr(statements_room, "READER_SECONDS", 0.2)

    async def story(work, ask):
        await pass_on(work, "a", ask("/endless"))
        await _see_end(work, far)

    _run(far, story)


def test_a_reader_that_goes_ends_the_statement(far):
    """Closing in the middle ends it in the store."""

    async def story(work, ask):
        pieces = (await pass_on(work, "a", ask("/endless"))).pieces()
        assert await anext(pieces)
        await pieces.aclose()
        await _see_end(work, far)

    _run(far, story)


def test_who_goes_before_the_answer_begins_ends_the_statement(far):
    """A client that leaves while the store still works frees its place and the store."""

    async def story(work, ask):
        asking = asyncio.ensure_future(pass_on(work, "a", ask("/silent")))
        assert await asyncio.to_thread(far.asked.wait, SECONDS)
        asking.cancel()
        await _see_end(work, far)

    _run(far, story)


def test_a_store_that_breaks_off_is_told_as_long_as_that_can_be_told(far):
    """Before the first piece it is a refusal with Retry-After; behind it the answer ends as one that is not whole."""

    async def story(work, ask):
        with pytest.raises(RequestRefused) as refused:
            await pass_on(work, "a", ask("/broken"))
        assert (refused.value.code, refused.value.status) == ("store_unavailable", 503)
        assert refused.value.retry_after
        await _get_place(work.statements)
        passing = await pass_on(work, "a", ask("/broken/later"))
        with pytest.raises(RequestRefused) as refused:
            await _read_rest(passing.pieces())
        assert refused.value.code == "store_unavailable"
        await _get_place(work.statements)

    _run(far, story)


def test_a_store_that_is_not_there_is_told(far):
    """Nothing hangs, and the place is free."""

    async def story(work, ask):
        del ask
        store = StoreClient("http://127.0.0.1:9")
        with pytest.raises(RequestRefused) as refused:
            await pass_on(work, "a", Statement(store, Order("GET", "/", {}, b"")))
        assert refused.value.code == "store_unavailable"
        await _get_place(work.statements)

    _run(far, story)


@pytest.fixture
def impatient(monkeypatch):
    """Let the store wait for no reader."""
    monkeypatch.setattr(backlog_room, "MEMORY_SECONDS", 0.0)


@pytest.mark.usefixtures("impatient")
def test_a_slow_reader_holds_no_place(far):
    """When the store has said all of it another project has the place, and the reader gets every byte in its order."""

    async def story(work, ask):
        passing = await pass_on(work, "a", ask("/large"))
        pieces = passing.pieces()
        begun = await anext(pieces)
        await _get_place(work.statements)
        assert begun + await _read_rest(pieces) == LARGE

    _run(far, story)


@pytest.mark.usefixtures("impatient")
def test_a_store_that_breaks_off_is_told_behind_what_it_said(far):
    """Also where that waited in the file: the reader gets all of it, and then knows that it is not whole."""

    async def story(work, ask):
        pieces = (await pass_on(work, "a", ask("/large/broken"))).pieces()
        got = [await anext(pieces)]
        await _get_place(work.statements)
        with pytest.raises(RequestRefused, match="store"):
            await _collect(pieces, got)
        assert b"".join(got) == LARGE

    _run(far, story)


def test_a_reader_that_keeps_up_needs_no_file(far, monkeypatch, tmp_path):
    """Its answer goes through memory, as there is no folder for a file."""
    monkeypatch.setattr(backlog_room, "MEMORY_SECONDS", float(SECONDS))

    async def story(work, ask):
        assert await _read_rest((await pass_on(work, "a", ask("/large"))).pieces()) == LARGE

    _run(far, story, tmp_path / "missing")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("spare", [0, 1 << 62])
def test_a_disk_that_takes_no_file_ends_that_answer(far, tmp_path, spare):
    """What was kept arrives, the answer is not whole, the log says why, and the place is free."""

    async def story(work, ask):
        pieces = (await pass_on(work, "a", ask("/large"))).pieces()
        got = [await anext(pieces)]
        await _get_place(work.statements)
        with pytest.raises(ReaderStopped):
            await _collect(pieces, got)
        assert LARGE.startswith(b"".join(got))
        assert sum(map(len, got)) >= backlog_room.MEMORY_BYTES - len(PIECE)

    with capture_logs() as logs:
        _run(far, story, tmp_path if spare else tmp_path / "missing", spare=spare)
    assert [line["event"] for line in logs] == ["answer_not_kept"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("impatient")
def test_the_file_of_an_answer_does_not_grow_past_its_bound(far, monkeypatch):
    """An answer many times as long is whole for a reader who reads on: the file is written over where it was read."""
    monkeypatch.setattr(backlog_room, "FILE_BYTES", 10 * len(PIECE) + 1)
    monkeypatch.setattr(backlog_room, "FILE_SECONDS", float(SECONDS))

    async def story(work, ask):
        assert await _read_rest((await pass_on(work, "a", ask("/large"))).pieces()) == LARGE

    _run(far, story)


@pytest.mark.usefixtures("impatient")
def test_a_reader_that_is_too_far_behind_loses_its_answer(far, monkeypatch):
    """An answer without an end fills memory and file; then it ends, and its place is free."""
    monkeypatch.setattr(backlog_room, "FILE_BYTES", 10 * len(PIECE))
    monkeypatch.setattr(backlog_room, "FILE_SECONDS", 0.1)

    async def story(work, ask):
        pieces = (await pass_on(work, "a", ask("/endless"))).pieces()
        assert await anext(pieces)
        await _see_end(work, far)
        with pytest.raises(ReaderStopped):
            await _read_rest(pieces)

    _run(far, story)


@pytest.mark.usefixtures("impatient")
def test_answers_that_are_being_sent_are_bounded(far):
    """Whoever comes when all places among the answers are taken waits, and more are refused before anything is sent."""

    async def story(work, ask):
        reading = [(await pass_on(work, "a", ask("/large"))).pieces() for _ in range(2)]
        begun = [await anext(pieces) for pieces in reading]
        waiting = asyncio.ensure_future(pass_on(work, "a", ask("/whole")))
        await asyncio.sleep(0)
        with pytest.raises(RequestRefused) as refused:
            await pass_on(work, "a", ask("/silent"))
        assert (refused.value.code, refused.value.status) == ("too_many_at_once", 429)
        assert refused.value.retry_after
        assert not far.asked.is_set()
        assert not waiting.done()
        assert begun[0] + await _read_rest(reading[0]) == LARGE
        assert await _read_rest((await waiting).pieces()) == b"Ok.\n"
        await reading[1].aclose()

    _run(far, story, answers=2)


@pytest.mark.usefixtures("impatient")
def test_a_reader_that_stops_behind_the_store_gives_its_place_back(far, monkeypatch):
    """The time for a piece counts when the store is long done, too."""
    monkeypatch.setattr(statements_room, "READER_SECONDS", 0.2)

    async def story(work, ask):
        pieces = (await pass_on(work, "a", ask("/large"))).pieces()
        assert await anext(pieces)
        await _get_place(work.answers)
        with pytest.raises(ReaderStopped):
            await _read_rest(pieces)

    _run(far, story, answers=1)
