"""Receivers that really listen: web servers that answer as they are told to, and mail servers. All on 127.0.0.1."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP

from tests.conftest import DEADLINE_SECONDS

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
    """A web server that keeps what it is told. `asked` is set once a request came, whatever becomes of it."""

    respond: Respond = field(default_factory=lambda: answer(200))
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
    def told(self) -> list[Any]:
        """All that came, where it is JSON."""
        return [json.loads(body) for _, _, body in self.requests]

    @property
    def json(self) -> Any:
        """What came last."""
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
    """A mail server that keeps what it is told. What `refuse` returns for a recipient is its answer, if it is anything."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refuse: Callable[[str], str] = lambda _: ""
        self._controller = _Listening(self, hostname="127.0.0.1", port=0, ready_timeout=DEADLINE_SECONDS)
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
