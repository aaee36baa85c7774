"""ClickHouse's HTTP interface on a keep-alive connection: reads requests, sends answers, errors with their status.

`chdb_server` makes one handler per connection; `service.Service` does the work.
"""

from __future__ import annotations

import json
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler
from typing import Any, Final
from urllib.parse import urlsplit

from tallymark.store.compression import open_packer, pick_encoding, unpack
from tallymark.store.engine import Answer
from tallymark.store.errors import FAULT_CODES, LIMIT_CODES, EngineError
from tallymark.store.forms import parse_form
from tallymark.store.requests import StoreRequest, apply_fields, apply_headers, parse_fields, run_login
from tallymark.store.service import Outcome, Service
from tallymark.store.statements import InsertHead
from tallymark.store.uploads import chain, split_statement

_PIECE: Final = 256 * 1024
# What is left of a refused request's body is read up to here, so that its sender sees the answer.
_LEFTOVER_BYTES: Final = 16 * 1024 * 1024
_PACK_FROM: Final = 4096
# When somebody who found no place is asked to try again, in seconds.
_RETRY_AFTER: Final = 5
_FORMAT_NAME: Final = re.compile(r"[A-Za-z0-9_]{1,64}")

# What says more than 400, "the statement is wrong". ClickHouse answers many mistakes of the asker with 500; here 500 means a
# fault of ours, which somebody who watches the server has to look at.
_STATUS: Final = {
    **dict.fromkeys(FAULT_CODES, 500),
    **dict.fromkeys((192, 193, 194, 497, 516), 403),
    **dict.fromkeys((16, 46, 50, 56, 60, 63, 73, 81, 115, 372), 404),
    **dict.fromkeys((216, 373, 394), 409),
    **dict.fromkeys(LIMIT_CODES, 422),
    48: 501,
    **dict.fromkeys((202, 236, 745), 503),
}

_CONTENT_TYPES: Final = {
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TabSeparatedWithNames": "text/tab-separated-values; charset=UTF-8",
    "Native": "application/octet-stream",
    "RowBinary": "application/octet-stream",
    "Parquet": "application/octet-stream",
    "Arrow": "application/octet-stream",
}


def find_status(number: int) -> int:
    """Return the HTTP status for a ClickHouse code."""
    return _STATUS.get(number, 400)


class StoreHandler(BaseHTTPRequestHandler):
    """One connection. A thread of the server runs it, request after request."""

    protocol_version = "HTTP/1.1"
    server_version = "tallymark-store"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1
    # An idle connection is closed after so many seconds, a body that stands still too.
    timeout = 330.0
    server: Any

    def do_GET(self) -> None:
        """Answer a ping or a question in the URL."""
        self._serve(read_only=True)

    def do_POST(self) -> None:
        """Answer a question or take an insert."""
        self._serve(read_only=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Keep the output free of a line per request."""

    def _serve(self, *, read_only: bool) -> None:
        parts = urlsplit(self.path)
        self._begun = False
        try:
            self._body = self._open_body()
            if parts.path in {"/ping", "/replicas_status"} or (
                parts.path == "/" and not parts.query and read_only
            ):
                self._answer(200, b"Ok.\n", {"Content-Type": "text/html; charset=UTF-8"})
            elif parts.path != "/":
                self._answer(404, f"There is no handle {parts.path}\n".encode(), {})
            else:
                self._serve_statement(parts.query, read_only=read_only)
        except EngineError as error:
            headers = {
                "Content-Type": "text/plain; charset=UTF-8",
                "X-ClickHouse-Exception-Code": str(error.number),
            }
            status = find_status(error.number)
            if status == 503:
                headers["Retry-After"] = str(_RETRY_AFTER)
            self._answer(status, (error.render_text() + "\n").encode(), headers)
        except ConnectionError:
            # The caller is gone, perhaps in the middle of an answer: nothing more can be said here.
            self.close_connection = True
            raise
        except Exception as error:
            # A full disk, or a fault of ours: the caller gets an answer where none has begun, the log the whole of it.
            self.close_connection = True
            if not self._begun:
                text = f"Code: 1002. DB::Exception: {type(error).__name__}: {error} (UNKNOWN_EXCEPTION)\n"
                self._answer(500, text.encode(), {"X-ClickHouse-Exception-Code": "1002"})
            raise

    def _serve_statement(self, query_string: str, *, read_only: bool) -> None:
        service: Service = self.server.service
        fields = parse_fields(query_string)
        request = run_login(self.headers, fields, self.server.password)
        if self.server.stopping:
            raise EngineError(236, "The server is shutting down", "ABORTED")
        request.read_only = read_only
        body = unpack((self.headers.get("Content-Encoding") or "").lower(), self._body)
        if (self.headers.get("Content-Type") or "").lower().startswith("multipart/form-data"):
            fields += parse_form(self.headers["Content-Type"], body)
            body = iter(())
        apply_fields(request, fields, service.engine.setting_names)
        apply_headers(request, self.headers)
        if _FORMAT_NAME.fullmatch(request.default_format) is None:
            raise EngineError(73, f"Unknown format {request.default_format!r}")
        head, text, data = split_statement(request.query, body)
        if head is not None:
            self._run_insert(request, head, data)
            return
        packs = dict(fields).get("enable_http_compression") in {"1", "true"}
        encoding = pick_encoding(self.headers.get("Accept-Encoding") or "") if packs else ""
        with (
            self.server.watch.guard(self.connection, lambda: self._give_up(request)),
            # Ended here, whoever goes away in the middle: left to the garbage collector it would keep its place.
            closing(service.open_query(request, text)) as outcome,
        ):
            self._send(request, outcome, encoding)

    def _give_up(self, request: StoreRequest) -> bool:
        """End the statement of a caller that is gone, and the write that may wait for a reader who took nothing.

        Returns False where the statement has not begun yet.
        """
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        service: Service = self.server.service
        return service.stop(request.query_id, request.project)

    def _run_insert(self, request: StoreRequest, head: InsertHead, data: Iterator[bytes]) -> None:
        service: Service = self.server.service
        answer = service.run_insert(request, head, data)
        self._answer(200, b"", self._build_headers(request, "TabSeparated", answer))

    def _send(self, request: StoreRequest, outcome: Outcome, encoding: str) -> None:
        first = next(outcome.pieces, b"")
        second = next(outcome.pieces, None)
        headers = self._build_headers(request, outcome.format, outcome.answer)
        if second is not None:
            self._send_chunked(chain(first, second, rest=outcome.pieces), headers, encoding)
            return
        if encoding and len(first) >= _PACK_FROM:
            packer = open_packer(encoding)
            first = packer.push(first) + packer.finish()
            headers["Content-Encoding"] = encoding
        self._answer(200, first, headers)

    def _send_chunked(self, pieces: Iterator[bytes], headers: dict[str, str], encoding: str) -> None:
        packer = open_packer(encoding) if encoding else None
        tag = secrets.token_hex(8)
        if encoding:
            headers["Content-Encoding"] = encoding
        self._send_head(200, {**headers, "X-ClickHouse-Exception-Tag": tag, "Transfer-Encoding": "chunked"})
        try:
            for piece in pieces:
                self._send_chunk(packer.push(piece) if packer else piece)
        except EngineError as error:
            # The status is long gone: the text ends the body, between marks, and the connection breaks off.
            text = error.render_text().encode()
            marks = (tag.encode(), text, len(text) + 1, tag.encode())
            failure = b"\r\n__exception__\r\n%b\r\n%b\n%d %b\r\n__exception__\r\n" % marks
            self._send_chunk((packer.push(failure) + packer.finish()) if packer else failure)
            self.wfile.flush()
            self.close_connection = True
            return
        if packer:
            self._send_chunk(packer.finish())
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def _send_chunk(self, piece: bytes) -> None:
        if piece:
            self.wfile.write(b"%x\r\n" % len(piece))
            self.wfile.write(piece)
            self.wfile.write(b"\r\n")

    def _build_headers(self, request: StoreRequest, fmt: str, answer: Answer | None) -> dict[str, str]:
        told = answer or Answer(b"")
        # Of what a visitor's statement read, part is other projects'.
        is_own = not request.project
        summary = {
            "read_rows": str(told.read_rows if is_own else 0),
            "read_bytes": str(told.read_bytes if is_own else 0),
            "written_rows": str(told.written_rows),
            "written_bytes": str(told.written_bytes),
            "total_rows_to_read": "0",
            "result_rows": str(told.result_rows),
            "result_bytes": str(len(told.body)),
            "elapsed_ns": str(int(told.elapsed * 1e9)),
        }
        return {
            "Content-Type": _CONTENT_TYPES.get(fmt, "text/plain; charset=UTF-8"),
            "X-ClickHouse-Query-Id": request.query_id,
            "X-ClickHouse-Format": fmt,
            "X-ClickHouse-Timezone": self.server.service.engine.timezone,
            "X-ClickHouse-Summary": json.dumps(summary, separators=(",", ":")),
        }

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        left = _LEFTOVER_BYTES
        for piece in self._body:
            left -= len(piece)
            if left < 0:
                self.close_connection = True
                break
        self._send_head(status, {**headers, "Content-Length": str(len(body))})
        self.wfile.write(body)
        self.wfile.flush()

    def _send_head(self, status: int, headers: dict[str, str]) -> None:
        self._begun = True
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value.encode("ascii", "backslashreplace").decode())
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _open_body(self) -> Iterator[bytes]:
        if (self.headers.get("Transfer-Encoding") or "").lower() == "chunked":
            return self._read_chunks()
        try:
            length = int(self.headers.get("Content-Length") or 0)
        except ValueError:
            self.close_connection = True
            self._body = iter(())
            raise EngineError(36, f"Invalid Content-Length {self.headers['Content-Length']!r}") from None
        return self._read_exactly(length)

    def _read_exactly(self, left: int) -> Iterator[bytes]:
        while left > 0:
            piece = self.rfile.read1(min(left, _PIECE))
            if not piece:
                raise ConnectionResetError("the body broke off")
            left -= len(piece)
            yield piece

    def _read_chunks(self) -> Iterator[bytes]:
        while size := self._read_chunk_size():
            yield from self._read_exactly(size)
            self.rfile.readline(8)
        while self.rfile.readline(1024).strip():
            pass

    def _read_chunk_size(self) -> int:
        line = self.rfile.readline(64)
        try:
            return int(line.partition(b";")[0].strip(), 16)
        except ValueError:
            raise ConnectionResetError("the body's chunks are not valid") from None
