"""A request whose client has gone is worked on no longer; one that changes something is finished."""

from __future__ import annotations

import asyncio

import pytest

from tallymark.web.disconnects import end_with_client

END = {"type": "http.request", "body": b"", "more_body": False}
GONE = {"type": "http.disconnect"}


class Client:
    """The server's side of one request: what arrives, and what was answered."""

    def __init__(self, method="GET", path="/dashboard", messages=(END,)):
        self.scope = {"type": "http", "method": method, "path": path}
        self.arriving = asyncio.Queue()
        for message in messages:
            self.arriving.put_nowait(message)
        self.sent = []

    async def send(self, message):
        self.sent.append(message)

    async def ask(self, app):
        await end_with_client(app)(self.scope, self.arriving.get, self.send)


class App:
    """Reads the body, begins, and goes on until it may end."""

    def __init__(self):
        self.begun, self.may_end, self.body, self.ended = asyncio.Event(), asyncio.Event(), b"", ""

    async def __call__(self, _, receive, send):
        while True:
            message = await receive()
            self.body += message["body"]
            if not message["more_body"]:
                break
        self.begun.set()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise
        self.ended = "answered"
        await send({"type": "http.response.start", "status": 200})


def _run(story):
    asyncio.run(asyncio.wait_for(story(), 60))


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/dashboard"), ("POST", "/v1/query"), ("POST", "/clickhouse/")]
)
def test_who_only_asked_and_left_is_not_worked_for(method, path):
    """The work is cancelled as soon as the connection is closed."""

    async def story():
        app, client = App(), Client(method, path)
        asking = asyncio.ensure_future(client.ask(app))
        await app.begun.wait()
        client.arriving.put_nowait(GONE)
        await asking
        assert (app.ended, client.sent) == ("cancelled", [])

    _run(story)


def test_a_change_is_finished():
    """Whoever leaves while a key is made finds it made."""

    async def story():
        app, client = App(), Client("POST", "/v1/keys")
        asking = asyncio.ensure_future(client.ask(app))
        await app.begun.wait()
        client.arriving.put_nowait(GONE)
        app.may_end.set()
        await asking
        assert app.ended == "answered"

    _run(story)


def test_a_body_in_pieces_arrives_whole():
    """Listening for the client's leaving takes nothing of the body away."""

    async def story():
        pieces = [
            {"type": "http.request", "body": piece, "more_body": piece != b"c"}
            for piece in (b"a", b"b", b"c")
        ]
        app, client = App(), Client("POST", "/v1/query", pieces)
        app.may_end.set()
        await client.ask(app)
        assert (app.body, app.ended, len(client.sent)) == (b"abc", "answered", 1)

    _run(story)


def test_a_fault_reaches_the_server():
    """What the application raises is the server's to answer."""

    async def story():
        async def fail(scope, receive, send):
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            await Client().ask(fail)

    _run(story)


def test_a_server_that_stops_ends_the_work():
    """Cancelled from outside, the work ends too, and the cancelling goes on."""

    async def story():
        app, client = App(), Client()
        asking = asyncio.ensure_future(client.ask(app))
        await app.begun.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.sleep(0)
        assert app.ended == "cancelled"

    _run(story)
