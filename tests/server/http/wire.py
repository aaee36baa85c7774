"""Reads answers off a socket, strictly: status, headers, body by its length or its chunks."""

from __future__ import annotations

import contextlib
import socket
import time
from dataclasses import dataclass, field
from typing import Any

import msgspec


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes = b""

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


@dataclass
class Wire:
    """A connection and what was read from it and not looked at yet."""

    socket: socket.socket
    buffer: bytearray = field(default_factory=bytearray)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_until_full(self, data: bytes, most: int) -> int:
        """Send until the server takes no more for a moment, `most` at most; return how many bytes it took."""
        sent = 0
        self.socket.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            while sent < most:
                sent += self.socket.send(data)
        return sent

    def get(self, path: str, headers: str = "", method: str = "GET", body: bytes = b"") -> Answer:
        """Send a request and read its answer."""
        self.send(build(path, headers, method, body))
        return self.read(method)

    def read(self, method: str = "GET") -> Answer:
        """Read one answer; raises EOFError where the connection ends before it."""
        head = bytes(self._until(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        answer = Answer(int(first.split(" ")[1]), headers)
        if method == "HEAD" or answer.status in (100, 204, 304):
            return answer
        if headers.get("transfer-encoding") == "chunked":
            while size := int(bytes(self._until(b"\r\n")), 16):
                answer.body += self._take(size)
                assert self._take(2) == b"\r\n"
            assert self._take(2) == b"\r\n"
        elif "content-length" in headers:
            answer.body = self._take(int(headers["content-length"]))
        else:
            answer.body = self.rest()
        return answer

    def rest(self) -> bytes:
        """Read until the server closes; a reset counts as that."""
        while self._more():
            pass
        found, self.buffer = bytes(self.buffer), bytearray()
        return found

    def wait_closed(self) -> None:
        assert self.rest() == b""

    def _more(self) -> bool:
        try:
            data = self.socket.recv(1 << 20)
        except ConnectionResetError:
            return False
        self.buffer += data
        return bool(data)

    def _until(self, mark: bytes) -> bytearray:
        while (at := self.buffer.find(mark)) < 0:
            if not self._more():
                raise EOFError(bytes(self.buffer))
        found = self.buffer[:at]
        del self.buffer[: at + len(mark)]
        return found

    def _take(self, size: int) -> bytes:
        while len(self.buffer) < size:
            if not self._more():
                raise EOFError(bytes(self.buffer))
        found = bytes(self.buffer[:size])
        del self.buffer[:size]
        return found


def build(path: str, headers: str = "", method: str = "GET", body: bytes = b"") -> bytes:
    length = f"Content-Length: {len(body)}\r\n" if body or method in ("POST", "PUT") else ""
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{length}{headers}\r\n".encode("latin-1") + body


def wait_until(condition: Any, what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.005)
