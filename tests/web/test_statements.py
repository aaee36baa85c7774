"""A statement's answer holds its place until it is read, and no longer than its reader reads."""

from __future__ import annotations

import asyncio
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tallymark.errors import ReaderStopped, RequestRefused
from tallymark.fair_queue import Bounds
from tallymark.store.client import StoreClient
from tallymark.web import statements as statements_room
from tallymark.web.shares import Share
from tallymark.web.statements import Order, Statement, pass_on

SECONDS = 60
PIECE = b"x" * 65536


class Far(BaseHTTPRequestHandler):
    """A store that answers `/endless` without an end, `/silent` never, and everything else in one word.

    `/broken` breaks off behind the head, `/broken/later` behind the first piece.
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


def _run(far, story):
    async def run():
        share = Share("statements", Bounds(places=1, each=1), SECONDS)
        store = StoreClient(f"http://127.0.0.1:{far.server_port}")
        try:
            await story(share, lambda path: Statement(store, Order("GET", path, {}, b"")))
        finally:
            share.close()
            store.close()

    asyncio.run(asyncio.wait_for(run(), SECONDS))


def test_an_answer_is_passed_on_and_gives_its_place_back(far):
    """What the store says arrives, and the next project is next."""

    async def story(share, ask):
        for project in ("a", "b"):
            passing = await pass_on(share, project, ask("/whole"))
            assert (passing.status, b"".join([one async for one in passing.pieces()])) == (200, b"Ok.\n")

    _run(far, story)


def test_a_reader_that_stops_reading_loses_its_answer_and_its_place(far, monkeypatch):
    """The statement is ended in the store, another project has the place, and whoever reads on is told that it broke off."""
    monkeypatch.setattr(statements_room, "READER_SECONDS", 0.2)

    async def story(share, ask):
        passing = await pass_on(share, "a", ask("/endless"))
        pieces = passing.pieces()
        assert await anext(pieces)
        async with share.place("b"):
            assert await asyncio.to_thread(far.left.wait, SECONDS)
        with pytest.raises(ReaderStopped):
            await anext(pieces)

    _run(far, story)


def test_an_answer_that_nobody_begins_to_read_gives_its_place_back(far, monkeypatch):
    """Also where the client went between the head and the first piece."""
    monkeypatch.setattr(statements_room, "READER_SECONDS", 0.2)

    async def story(share, ask):
        await pass_on(share, "a", ask("/endless"))
        async with share.place("b"):
            assert await asyncio.to_thread(far.left.wait, SECONDS)

    _run(far, story)


def test_a_reader_that_goes_ends_the_statement(far):
    """Closing in the middle ends it in the store."""

    async def story(share, ask):
        pieces = (await pass_on(share, "a", ask("/endless"))).pieces()
        assert await anext(pieces)
        await pieces.aclose()
        assert await asyncio.to_thread(far.left.wait, SECONDS)
        async with share.place("b"):
            pass

    _run(far, story)


def test_who_goes_before_the_answer_begins_ends_the_statement(far):
    """A client that leaves while the store still works frees its place and the store."""

    async def story(share, ask):
        asking = asyncio.ensure_future(pass_on(share, "a", ask("/silent")))
        assert await asyncio.to_thread(far.asked.wait, SECONDS)
        asking.cancel()
        async with share.place("b"):
            assert await asyncio.to_thread(far.left.wait, SECONDS)

    _run(far, story)


def test_a_store_that_breaks_off_is_told_as_long_as_that_can_be_told(far):
    """Before the first piece it is a refusal with Retry-After; behind it the answer ends as one that is not whole."""

    async def story(share, ask):
        with pytest.raises(RequestRefused) as refused:
            await pass_on(share, "a", ask("/broken"))
        assert (refused.value.code, refused.value.status) == ("store_unavailable", 503)
        assert refused.value.retry_after
        async with share.place("b"):
            pass
        passing = await pass_on(share, "a", ask("/broken/later"))
        with pytest.raises(RequestRefused) as refused:
            [one async for one in passing.pieces()]
        assert refused.value.code == "store_unavailable"
        async with share.place("b"):
            pass

    _run(far, story)


def test_a_store_that_is_not_there_is_told(far):
    """Nothing hangs, and the place is free."""

    async def story(share, ask):
        del ask
        store = StoreClient("http://127.0.0.1:9")
        with pytest.raises(RequestRefused) as refused:
            await pass_on(share, "a", Statement(store, Order("GET", "/", {}, b"")))
        assert refused.value.code == "store_unavailable"
        async with share.place("b"):
            pass

    _run(far, story)
