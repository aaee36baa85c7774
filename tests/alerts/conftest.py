"""Receivers that really listen: web servers that answer as they are told to, and a mail server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message as Mail
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP

from tallymark.alerts.outlets import Message, Outlets

# Guards against hanging only: generous, because the machine may be busy.
DEADLINE_SECONDS = 90.0
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))

Respond = Callable[[BaseHTTPRequestHandler], None]


def answer(status: int, body: bytes = b"", **headers: str) -> Respond:
    """Answer every request with this status."""

    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return respond


@dataclass
class WebReceiver:
    """A web server on 127.0.0.1. `asked` is set once a request came, whatever becomes of it."""

    respond: Respond
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.requests.append((self.path, headers, body))
                receiver.asked.set()
                receiver.respond(self)

            do_GET = do_POST  # noqa: N815 - the library's name

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_: Any) -> None:
                """Who asked may be gone before it is answered."""

        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def port(self) -> int:
        return self.server.server_address[1]

    def url(self, path: str = "/hook", host: str = "127.0.0.1", service: str = "json") -> str:
        return f"{service}://{host}:{self.port}{path}"

    @property
    def json(self) -> Any:
        return json.loads(self.requests[-1][2])

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class _Listening(Controller):
    """A controller that takes any port that is free."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


class MailReceiver:
    """A mail server on 127.0.0.1. What `refuse` returns for a recipient is its answer, if it is anything."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.refuse: Callable[[str], str] = lambda _: ""
        self._controller = _Listening(self, hostname="127.0.0.1", port=0)
        self._controller.start()

    @property
    def port(self) -> int:
        return self._controller.port

    def url(self, to: str = "ann@people.example", service: str = "mailto", options: str = "") -> str:
        return f"{service}://127.0.0.1:{self.port}/?from=alerts@tallymark.example&to={to}{options}"

    async def handle_RCPT(self, _server: SMTP, _session: Any, envelope: Any, address: str, _: Any) -> str:  # noqa: N802 - the library's name
        refused = self.refuse(address)
        if not refused:
            envelope.rcpt_tos.append(address)
        return refused or "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Any, envelope: Any) -> str:  # noqa: N802 - the library's name
        self.mails.append(message_from_bytes(envelope.content, policy=default))
        return "250 OK"

    def close(self) -> None:
        self._controller.stop()


@pytest.fixture
def open_web() -> Iterator[Callable[..., WebReceiver]]:
    opened: list[WebReceiver] = []

    def open_one(respond: Respond | None = None) -> WebReceiver:
        opened.append(WebReceiver(respond or answer(200)))
        return opened[-1]

    yield open_one
    for receiver in opened:
        receiver.close()


@pytest.fixture
def web(open_web) -> WebReceiver:
    return open_web()


@pytest.fixture
def mail() -> Iterator[MailReceiver]:
    receiver = MailReceiver()
    yield receiver
    receiver.close()


@pytest.fixture
def hang() -> Iterator[Respond]:
    """Answer with 200, but only when the test is over or says so by `hang.go()`."""
    go = threading.Event()

    def respond(handler: BaseHTTPRequestHandler) -> None:
        go.wait(DEADLINE_SECONDS)
        answer(200)(handler)

    respond.go = go.set
    yield respond
    go.set()


@pytest.fixture
def open_outlets() -> Iterator[Callable[..., Outlets]]:
    opened: list[Outlets] = []

    def open_one(*allowed: str, **options: Any) -> Outlets:
        options.setdefault("seconds", DEADLINE_SECONDS)
        opened.append(Outlets(allowed or ("127.0.0.1",), **options))
        return opened[-1]

    yield open_one
    for outlets in opened:
        outlets.close()


@pytest.fixture
def outlets(open_outlets) -> Outlets:
    """Where this machine may be told."""
    return open_outlets()


@pytest.fixture
def message() -> Message:
    return Message(
        title="Orders are low",
        text="Orders: 3 per hour, usual are 40 to 60.\nhttps://tallymark.example/alerts/orders",
        html='<p>Orders: <b>3</b> per hour</p><img src="cid:chart.png">',
        picture=PNG,
        key="shop/orders/17",
        id="shop-17-1",
        kind="trouble",
        facts={"alert": "orders", "value": 3, "usual": [40, 60], "url": None},
    )
