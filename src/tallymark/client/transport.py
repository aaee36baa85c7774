"""One connection to an intake: a batch goes out as gzipped NDJSON, the answer comes back as an `Outcome`.

Never raises and never takes longer than the request's time limit, whatever the far side does: each read from the
socket is given what is left until the deadline. One transport serves one thread. `sender` and `importer` call it.
"""

from __future__ import annotations

import io
import socket
import ssl
import time
import zlib
from collections.abc import Sequence
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import msgspec
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from tallymark.client.drops import Drops
from tallymark.client.retry import Outcome, parse_retry_after
from tallymark.client.settings import Settings
from tallymark.client.stamp import now_nanoseconds, render_time
from tallymark.clock import SYSTEM_CLOCK, Clock
from tallymark.event import REPORT_HEADER, SENT_AT_HEADER

_COMPRESS_OVER = 1024
_MAX_ANSWER = 4 * 1024 * 1024
_RETRIED = frozenset({408, 425, 429})


class _Rejected(msgspec.Struct):
    index: int
    code: str = ""
    message: str = ""


class _Answer(msgspec.Struct):
    accepted: int
    rejected: list[_Rejected] = []


_decode = msgspec.json.Decoder(_Answer).decode


class _DeadlineReader(io.RawIOBase):
    """Reads from a socket as long as the deadline allows, however small the pieces come."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer took longer than the request may")
        self._sock.settimeout(left)
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _DeadlineResponse(HTTPResponse):
    """A response whose status line, headers and body share one deadline."""

    def __init__(
        self, sock: Any, debuglevel: int = 0, method: str | None = None, url: str | None = None
    ) -> None:
        # The connection leaves its deadline with the socket: http.client hands nothing else over.
        super().__init__(_Opened(sock), debuglevel, method, url)  # type: ignore[arg-type]


class _Opened:
    """Stands in for the socket while http.client asks it for a file."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def makefile(self, _mode: str) -> io.BufferedReader:
        left = self._sock.gettimeout()
        return io.BufferedReader(
            _DeadlineReader(self._sock, time.monotonic() + (3600.0 if left is None else left))
        )


class _PlainConnection(HTTPConnection):
    response_class = _DeadlineResponse


class _SecureConnection(HTTPSConnection):
    response_class = _DeadlineResponse


def compress(body: bytes) -> bytes:
    """Gzip at level 1: the network between is rarely slower than the processor is at level 6."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()


class HttpTransport:
    """Posts batches to `{url}/v1/events` over one kept connection."""

    def __init__(self, settings: Settings, drops: Drops | None, clock: Clock = SYSTEM_CLOCK) -> None:
        self._settings = settings
        self._drops = drops
        self._clock = clock
        parts = urlsplit(settings.url)
        self._secure = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._secure else 80)
        self._path = parts.path.rstrip("/") + "/v1/events"
        self._connection: HTTPConnection | None = None
        self.sent_bytes = 0
        self.takes_reports = drops is not None
        self.deadline: float | None = None

    def deliver(self, lines: Sequence[bytes]) -> Outcome:
        """Send a batch once (an empty one carries only the report) and say what became of it."""
        body = b"\n".join(lines) if lines else b"[]"
        headers = {
            "Authorization": f"Bearer {self._settings.key}",
            "Content-Type": "application/x-ndjson" if lines else "application/json",
            "User-Agent": "tallymark-python",
            SENT_AT_HEADER: render_time(now_nanoseconds()),
        }
        if len(body) > _COMPRESS_OVER:
            body = compress(body)
            headers["Content-Encoding"] = "gzip"
        report = self._drops.build_report() if self._drops else None
        if report is not None:
            headers[REPORT_HEADER] = report[0]
        try:
            status, retry_after, answer = self._exchange(body, headers)
        except (OSError, HTTPException, urllib3.exceptions.HTTPError, ValueError) as error:
            self.close()
            return Outcome(retry=True, error=f"{type(error).__name__}: {str(error)[:300]}")
        except BaseException:
            self.close()
            raise
        outcome = build_outcome(status, answer, len(lines), parse_retry_after(retry_after, self._clock.now()))
        if report is not None and self._drops and status in (200, 202, 207) and not outcome.retry:
            self._drops.acknowledge(report[1])
        return outcome

    def _exchange(self, body: bytes, headers: dict[str, str]) -> tuple[int, str | None, bytes]:
        deadline = time.monotonic() + self._settings.request_timeout
        if self.deadline is not None:
            deadline = min(deadline, self.deadline)
        connection = self._open(deadline)
        sock = connection.sock
        # What http.client sends with `sendall` gets this as a limit for all of it.
        sock.settimeout(max(0.001, deadline - time.monotonic()))
        connection.request("POST", self._path, body=body, headers=headers, preload_content=False)
        self.sent_bytes += len(body)
        connection.timeout = max(0.001, deadline - time.monotonic())
        response = connection.getresponse()
        answer = response.read(_MAX_ANSWER + 1, decode_content=False)
        if len(answer) > _MAX_ANSWER:
            raise ValueError(f"the answer is larger than {_MAX_ANSWER} bytes")
        return response.status, response.headers.get("Retry-After"), answer

    def _open(self, deadline: float) -> HTTPConnection:
        connection = self._connection
        if connection is not None and connection.is_connected:
            return connection
        self.close()
        limit = max(0.001, min(self._settings.connect_timeout, deadline - time.monotonic()))
        if self._secure:
            context = ssl.create_default_context()
            connection = _SecureConnection(self._host, self._port, timeout=limit, ssl_context=context)
        else:
            connection = _PlainConnection(self._host, self._port, timeout=limit)
        self._connection = connection
        connection.connect()
        return connection

    def close(self) -> None:
        """Close the connection; the next batch opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def abort(self) -> None:
        """End a request that hangs, from another thread: its socket is shut."""
        connection = self._connection
        sock = connection.sock if connection is not None else None
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return

    def forget(self) -> None:
        """Leave the connection to the parent process without a word on the wire."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.sock is not None:
            try:
                socket.close(connection.sock.detach())
            except OSError:
                return


def build_outcome(status: int, answer: bytes, count: int, wait: float | None) -> Outcome:
    """Judge an answer to a batch of `count` events."""
    if status in (200, 202, 207, 400):
        outcome = _judge(status, answer, count)
        if outcome is not None:
            return outcome
    if status == 413 and count > 1:
        return Outcome(split=True, error="413: the batch is too large")
    text = f"{status}: {answer[:300].decode('utf-8', 'replace')}"
    if status in _RETRIED or status >= 500 or status < 300:
        return Outcome(retry=True, wait=wait, error=text)
    return Outcome(
        refused=tuple(range(count)), final=status in (401, 403, 404, 405) or status < 400, error=text
    )


def _judge(status: int, answer: bytes, count: int) -> Outcome | None:
    """Read an answer in which each event was judged; None when it is not one for this batch."""
    try:
        parsed = _decode(answer)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    refused = {item.index: item for item in parsed.rejected}
    accepted = count - len(refused)
    if parsed.accepted != accepted or any(not 0 <= index < count for index in refused):
        return None
    if status == 400 and accepted:
        return None
    first = next(iter(refused.values()), None)
    error = "" if first is None else f"{status}: {first.code}: {first.message[:300]}"
    return Outcome(accepted=accepted, refused=tuple(sorted(refused)), error=error)
