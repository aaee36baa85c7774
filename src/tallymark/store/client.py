"""How every process of ours reaches the store: a thin, typed layer over the official client, clickhouse-connect.

Comes in: SQL with typed parameters, or rows as NDJSON. Goes out: rows, bytes, or a StoreError. The loader, the
questions, the migrations and the commands call it; one instance serves all threads of a process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Self
from urllib.parse import urlsplit

import urllib3
from urllib3.util import Timeout

from tallymark.clock import SYSTEM_CLOCK, Clock
from tallymark.errors import ConfigError
from tallymark.store.cancelling import present
from tallymark.store.errors import StoreError, StoreUnavailable, build_store_error, parse_engine_error
from tallymark.store.limits import GRACE_SECONDS, QUERY_SECONDS
from tallymark.store.schema import INSERT_SETTINGS, QUERY_SETTINGS

# Too many at once, or shutting down: nothing was done, and the same request may succeed soon.
_BUSY_CODES: Final = frozenset({202, 236})
# All in seconds. How long readiness and a question wait for a ping. The busiest store that was tried, ten statements
# at once on two cores, answered within 1.3.
_READY_SECONDS: Final = 2.0
_ALIVE_SECONDS: Final = 5.0
# For so long after a ping without an answer nobody waits for another one.
_SILENCE_SECONDS: Final = 1.0
_CONNECT_SECONDS: Final = 5.0

# How long the answer that this thread is about to ask for may take, in seconds; unset: as long as the client says.
_patience: ContextVar[float] = ContextVar("patience")


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a statement cost: rows and bytes read, rows written, seconds inside the engine."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    elapsed: float = 0.0


@dataclass(frozen=True, slots=True)
class QueryResult:
    """An answer: names and ClickHouse types of the columns, rows of Python values (times are aware, in UTC)."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    statistics: Statistics


def _parse_statistics(summary: Mapping[str, Any]) -> Statistics:
    return Statistics(
        read_rows=int(summary.get("read_rows", 0)),
        read_bytes=int(summary.get("read_bytes", 0)),
        written_rows=int(summary.get("written_rows", 0)),
        elapsed=int(summary.get("elapsed_ns", 0)) / 1e9,
    )


def _build_error(error: Exception) -> StoreError | StoreUnavailable:
    """Return our error for one of clickhouse-connect's."""
    from clickhouse_connect.driver.exceptions import OperationalError  # noqa: PLC0415 - a heavy import, on first use

    number = getattr(error, "code", None)
    if number is None and isinstance(error, OperationalError):
        return StoreUnavailable(f"The store cannot be reached: {error}")
    if number is None:
        # The client itself would not send it.
        return StoreError(36, "BAD_ARGUMENTS", str(error))
    text = str(error).partition("server response: ")[2] or str(error)
    if int(number) in _BUSY_CODES:
        return StoreUnavailable(f"The store cannot serve the request now: {text}")
    parsed = parse_engine_error(text.rpartition(" (for url ")[0] or text)
    return build_store_error(int(number), parsed.name, parsed.message)


def _is_silence(error: Exception) -> bool:
    """Tell a store that says nothing from one that is not there, which is noticed at once."""
    return isinstance(error, urllib3.exceptions.TimeoutError) and not isinstance(
        error, urllib3.exceptions.NewConnectionError
    )


@contextmanager
def _translated() -> Iterator[None]:
    from clickhouse_connect.driver.exceptions import Error  # noqa: PLC0415 - a heavy import, on first use

    try:
        yield
    except Error as error:
        raise _build_error(error) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise StoreUnavailable(f"The store cannot be reached: {error}") from error


class _Pool(urllib3.PoolManager):
    """Gives each question the time that it may take: clickhouse-connect knows one time for everything."""

    # urllib3's own class has another signature than its base, and this is that class's.
    def urlopen(  # type: ignore[override]
        self, method: str, url: str, redirect: bool = True, **options: Any
    ) -> Any:
        """Send a request; a question's time comes before the one that was given."""
        seconds = _patience.get(None)
        if seconds is not None:
            options["timeout"] = Timeout(connect=_CONNECT_SECONDS, read=seconds)
        return super().urlopen(method, url, redirect, **options)


class StoreClient:
    """A connection pool to the store at `url`, such as http://127.0.0.1:8123. Thread-safe; connects on first use.

    A real ClickHouse server's address works in the same way; that was not tried against one.
    `timeout` is how long an insert or a command may take, in seconds. A question is sent only to a store that answers
    a ping, and may take its `max_execution_time` and a few seconds.
    """

    def __init__(
        self,
        url: str,
        user: str = "tallymark",
        password: str = "",
        *,
        timeout: float = 300.0,
        connections: int = 16,
        headers: Mapping[str, str] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigError(f"The store's URL {url!r} is not one: http://HOST:PORT is needed")
        self.url = url
        self._secure = parts.scheme == "https"
        self._host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self._port = parts.port or (8443 if self._secure else 8123)
        self._path = parts.path.strip("/")
        self._user = user
        self._password = password
        self._timeout = timeout
        self._headers = dict(headers or {})
        self._http = _Pool(
            num_pools=1,
            maxsize=connections,
            timeout=Timeout(connect=_CONNECT_SECONDS, read=timeout),
            retries=False,
        )
        self._client: Any = None
        self._clock = clock
        self._silent_until = float("-inf")

    def _connect(self) -> Any:
        if self._client is None:
            import clickhouse_connect  # noqa: PLC0415 - a heavy import, on first use

            # Two threads may both come here; the later client wins and the earlier holds nothing open.
            self._client = clickhouse_connect.get_client(
                interface="https" if self._secure else "http",
                host=self._host,
                port=self._port,
                proxy_path=self._path,
                username=self._user,
                password=self._password,
                pool_mgr=self._http,
                headers=self._headers,
                # On one machine packing costs more than it saves.
                compress=False,
                autogenerate_session_id=False,
                autogenerate_query_id=False,
                query_retries=0,
                send_receive_timeout=self._timeout,
                tz_mode="aware",
            )
        return self._client

    def check_alive(self) -> None:
        """Raise StoreUnavailable within a few seconds where the store does not answer; a busy one does."""
        if self._clock.monotonic() < self._silent_until or not self.ping(_ALIVE_SECONDS):
            raise StoreUnavailable("The store does not answer.")

    @contextmanager
    def _asking(self, settings: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
        """Bound the time of a question, also where the store stops answering in the middle of it.

        Gives the settings to ask with. Whoever works under a `Cancellation` is stopped by it: raises QuestionCancelled.
        """
        chosen = {**QUERY_SETTINGS, **(settings or {})}
        self.check_alive()
        limit = float(chosen.get("max_execution_time", QUERY_SECONDS))
        token = _patience.set(limit + GRACE_SECONDS if limit else self._timeout)
        cancellation = present()
        try:
            with _translated():
                if cancellation is None:
                    yield chosen
                    return
                with cancellation.question(self._stop) as query_id:
                    yield {**chosen, "query_id": query_id}
        except (StoreError, StoreUnavailable):
            if cancellation is not None:
                cancellation.check()
            raise
        finally:
            _patience.reset(token)

    def _stop(self, query_id: str) -> None:
        """Stop a question that runs under this id, where it runs; from another thread than the one that waits for it."""
        with suppress(StoreError, StoreUnavailable):
            self.command(f"KILL QUERY WHERE query_id = '{query_id}' ASYNC")

    def query_rows(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> QueryResult:
        """Run a SELECT with `{name:Type}` parameters and return its rows. Raises StoreError, StoreUnavailable."""
        with self._asking(settings) as chosen:
            answer = self._connect().query(sql, parameters=dict(parameters or {}), settings=chosen)
        return QueryResult(
            columns=tuple(answer.column_names),
            types=tuple(kind.name for kind in answer.column_types),
            rows=answer.result_rows,
            statistics=_parse_statistics(answer.summary),
        )

    def query_raw(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        fmt: str = "JSONEachRow",
        settings: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Run a SELECT and return its answer in one of ClickHouse's formats. Raises StoreError, StoreUnavailable."""
        with self._asking(settings) as chosen:
            answer = self._connect().raw_query(
                sql, parameters=dict(parameters or {}), settings=chosen, fmt=fmt
            )
        return bytes(answer)

    def insert_ndjson(
        self,
        table: str,
        body: bytes | Path,
        *,
        token: str,
        settings: Mapping[str, Any] | None = None,
        columns: Sequence[str] | None = None,
    ) -> Statistics:
        """Insert rows, one JSON object per line; all of them are stored when this returns, or none were.

        The same `token` again inserts nothing. After StoreUnavailable the outcome is unknown: send it again with
        the same token. Raises StoreError, StoreUnavailable.
        """
        chosen = {**INSERT_SETTINGS, **(settings or {}), "insert_deduplication_token": token}
        with _translated():
            if isinstance(body, Path):
                with body.open("rb") as file:
                    return self._insert(table, file, chosen, columns)
            # A view keeps clickhouse-connect from copying the rows behind the statement's text.
            return self._insert(table, memoryview(body), chosen, columns)

    def _insert(
        self,
        table: str,
        block: memoryview | BinaryIO,
        settings: Mapping[str, Any],
        columns: Sequence[str] | None,
    ) -> Statistics:
        summary = self._connect().raw_insert(
            table, column_names=columns, insert_block=block, settings=dict(settings), fmt="JSONEachRow"
        )
        return _parse_statistics(summary.summary)

    def command(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Run a statement that gives no rows. Raises StoreError, StoreUnavailable."""
        with _translated():
            self._connect().command(sql, parameters=dict(parameters or {}), settings=dict(settings or {}))

    def ping(self, seconds: float = _READY_SECONDS) -> bool:
        """Tell whether the store answers within so many seconds."""
        scheme = "https" if self._secure else "http"
        path = f"/{self._path}/ping" if self._path else "/ping"
        url = f"{scheme}://{self._host}:{self._port}{path}"
        try:
            answer = self._http.request("GET", url, timeout=Timeout(total=seconds))
        except urllib3.exceptions.HTTPError as error:
            if _is_silence(error):
                self._silent_until = self._clock.monotonic() + _SILENCE_SECONDS
            return False
        self._silent_until = float("-inf")
        return answer.status == 200

    def close(self) -> None:
        """Close the pool's connections."""
        self._http.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
