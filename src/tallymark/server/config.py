"""Settings of the server: what there is, what it means, and where a value came from.

Flags win over `TALLYMARK_*` variables, these over `tallymark.toml`, that over the defaults. `tallymark config`
shows the result; docs/operations.md is tested against this list.
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from tallymark.errors import ConfigError
from tallymark.networks import parse_networks
from tallymark.server.memory import choose_query_memory, choose_store_memory, find_memory

FILE_NAME = "tallymark.toml"
_PREFIX = "TALLYMARK_"
# Read elsewhere: at the first start, by the commands, by the client, by tests.
_OTHER_VARIABLES = (
    *("CONFIG", "WRITE_KEY", "READ_KEY", "ADMIN_PASSWORD", "ADMIN_KEY", "CLICKHOUSE_PASSWORD"),
    *("URL", "KEY", "DISABLED", "SPOOL_DIR", "CRASH", "CRASH_FILE"),
)
_MIB = 1024 * 1024

_Size = Annotated[int, msgspec.Meta(ge=1024)]
_Seconds = Annotated[float, msgspec.Meta(ge=0)]


class Config(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """All settings. Sizes are in bytes, times in seconds unless the name says days."""

    data: str = "data"
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8600
    public_url: str = ""
    trusted_proxies: str = "127.0.0.1, ::1"
    embed_ancestors: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9:/.*\- ']*$")] = ""
    catalog_url: str = ""
    clickhouse_url: str = ""
    log_format: str = "auto"
    log_level: str = "info"

    connections: Annotated[int, msgspec.Meta(ge=16)] = 4096
    address_connections: Annotated[int, msgspec.Meta(ge=0)] = 512
    body_bytes: _Size = 4 * _MIB
    text_bytes: _Size = 16 * _MIB
    batch_events: Annotated[int, msgspec.Meta(ge=1)] = 20_000
    intake_memory_bytes: _Size = 256 * _MIB
    body_chunk_seconds: _Seconds = 10.0
    body_seconds: _Seconds = 60.0

    journal_segment_bytes: _Size = 64 * _MIB
    journal_queue_bytes: _Size = 64 * _MIB
    journal_keep_seconds: _Seconds = 24 * 3600.0
    disk_reserve_bytes: Annotated[int, msgspec.Meta(ge=0)] = 256 * _MIB

    dedup_days: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    loader_linger_seconds: _Seconds = 0.4
    quarantine_bytes: Annotated[int, msgspec.Meta(ge=0)] = 256 * _MIB
    quarantine_days: _Seconds = 30.0
    trace_days: _Seconds = 7.0
    restart_pause_seconds: _Seconds = 15.0
    stalled_seconds: Annotated[float, msgspec.Meta(ge=1)] = 120.0

    store_memory_bytes: Annotated[int, msgspec.Meta(ge=0)] = 0
    query_seconds: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    query_memory_bytes: Annotated[int, msgspec.Meta(ge=0)] = 0
    query_rows: Annotated[int, msgspec.Meta(ge=1)] = 10_000_000_000

    alert_seconds: Annotated[float, msgspec.Meta(ge=1, le=60)] = 10.0
    alert_picture_seconds: Annotated[float, msgspec.Meta(gt=0)] = 4.0
    alert_inward: str = ""

    own_project: str = ""
    own_seconds: Annotated[float, msgspec.Meta(ge=1)] = 10.0

    def list_inward(self) -> tuple[str, ...]:
        """Return the networks inside that alerts may be sent to."""
        return tuple(part.strip() for part in self.alert_inward.split(",") if part.strip())

    def find_store_memory(self) -> int:
        """Return the bytes that the embedded store may use."""
        return self.store_memory_bytes or choose_store_memory(find_memory())

    def find_query_memory(self) -> int:
        """Return the bytes that one question may use."""
        return self.query_memory_bytes or choose_query_memory(self.find_store_memory())


# One sentence each, for `tallymark config` and the docs.
MEANINGS: dict[str, str] = {
    "data": "Folder that holds everything: journal, store, ledger, catalog.",
    "host": "Address to listen on.",
    "port": "Port to listen on; 0 takes a free one.",
    "public_url": "Address under which people and clients reach the server, for links and snippets.",
    "trusted_proxies": "Addresses and networks of reverse proxies, with commas: what these say in X-Forwarded-For is the address of who signs in.",
    "embed_ancestors": "Sites that may show embedded panels in a frame, such as https://shop.example https://*.example; empty: none.",
    "catalog_url": "SQLAlchemy URL of the catalog; empty: SQLite in the data folder.",
    "clickhouse_url": "URL of a ClickHouse server to use instead of the embedded store.",
    "log_format": "auto (text on a terminal, else JSON), text or json.",
    "log_level": "debug, info, warning or error.",
    "connections": "Most connections at once; the limit on open files may allow fewer.",
    "address_connections": "Most connections from one address, of IPv6 from one /64; none for loopback. 0: no such bound, as behind a proxy on another machine.",
    "body_bytes": "Largest body of one request, as sent.",
    "text_bytes": "Largest body of one request, after decompression.",
    "batch_events": "Most events in one request.",
    "intake_memory_bytes": "Memory that requests in the intake's hands may take, one project half of it; past it they get 503. Bodies that hold their key inside may take half as much on top until it is known, one address a quarter of that.",
    "body_chunk_seconds": "Longest pause while a body is sent; then 408.",
    "body_seconds": "Longest time for a whole body; then 408.",
    "journal_segment_bytes": "Size at which a journal segment is closed.",
    "journal_queue_bytes": "Bytes that may wait for the disk, one project half of it; past it requests get 503.",
    "journal_keep_seconds": "How long journal segments stay after they were loaded.",
    "disk_reserve_bytes": "Free room below which the intake answers 503.",
    "dedup_days": "How long an event id is remembered.",
    "loader_linger_seconds": "How long the loader collects rows for one insert.",
    "quarantine_bytes": "Most bytes of quarantined events per project; past it they are counted, not kept.",
    "quarantine_days": "How long quarantined events are kept.",
    "restart_pause_seconds": "Longest pause before a process that keeps ending is started again.",
    "stalled_seconds": "How long nothing may be stored while events wait; then `/readyz` answers 503 and an alert tells.",
    "trace_days": "How long ids of events that were not stored are remembered.",
    "store_memory_bytes": "Memory that the embedded store may use; 0: a quarter of the machine's, from 1 to 4 GiB.",
    "query_seconds": "Longest time for one question; then 422.",
    "query_memory_bytes": "Most memory for one question; then 422. 0: three quarters of the store's.",
    "query_rows": "Most rows that one question may read; then 422.",
    "alert_seconds": "How often alerts are judged.",
    "alert_picture_seconds": "How long a message waits for its picture; then it goes without.",
    "alert_inward": "Networks inside that alerts may be sent to, such as 10.1.0.0/16 or 127.0.0.1, with commas; empty: none.",
    "own_project": "Project in which tallymark records its own health as events; empty: none is recorded.",
    "own_seconds": "How often it does.",
}


def load_config(
    flags: Mapping[str, Any], environment: Mapping[str, str] | None = None, file: Path | None = None
) -> tuple[Config, dict[str, str]]:
    """Return the settings and, for each, where it came from; raises ConfigError naming the source."""
    environment = os.environ if environment is None else environment
    path = file or Path(environment.get("TALLYMARK_CONFIG", FILE_NAME))
    if file is not None and not path.exists():
        raise ConfigError(f"There is no file {path}.", at="--config")
    layers: list[tuple[str, Mapping[str, Any]]] = []
    if path.exists():
        layers.append((str(path), _read_file(path)))
    variables = {
        field: environment[f"{_PREFIX}{field.upper()}"]
        for field in Config.__struct_fields__
        if f"{_PREFIX}{field.upper()}" in environment
    }
    layers += [
        ("environment", variables),
        ("flag", {name: value for name, value in flags.items() if value is not None}),
    ]
    values: dict[str, Any] = {}
    sources = dict.fromkeys(Config.__struct_fields__, "default")
    for source, layer in layers:
        for name, value in layer.items():
            values[name] = _convert(name, value, source)
            sources[name] = source
    config = Config(**values)
    _check(config, sources)
    return config, sources


def _read_file(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The file is not TOML: {error}.", at=str(path)) from error


def _convert(name: str, value: Any, source: str) -> Any:
    """Convert one value alone, so that the error names its source."""
    if name not in Config.__struct_fields__:
        known = ", ".join(Config.__struct_fields__)
        raise ConfigError(f"There is no setting {name!r}. Settings: {known}.", at=source)
    try:
        converted = msgspec.convert({name: value}, type=Config, strict=not isinstance(value, str))
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name} = {value!r}: {error}.", at=source) from error
    return getattr(converted, name)


def find_strange_variables(environment: Mapping[str, str]) -> list[str]:
    """Return the `TALLYMARK_*` variables that mean nothing to any part of tallymark: misspelt ones, most likely."""
    known = {f"{_PREFIX}{name.upper()}" for name in Config.__struct_fields__} | {
        f"{_PREFIX}{name}" for name in _OTHER_VARIABLES
    }
    return sorted(name for name in environment if name.startswith(_PREFIX) and name not in known)


def _check(config: Config, sources: Mapping[str, str]) -> None:
    for name in Config.__struct_fields__:
        value = getattr(config, name)
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{name} = {value} is not a finite number.", at=sources[name])
    for name, allowed in (
        ("log_format", ("auto", "text", "json")),
        ("log_level", ("debug", "info", "warning", "error")),
    ):
        value = getattr(config, name)
        if value not in allowed:
            raise ConfigError(f"{name} = {value!r}. Allowed: {', '.join(allowed)}.", at=sources[name])
    try:
        parse_networks(config.trusted_proxies)
    except ValueError as error:
        message = f"trusted_proxies = {config.trusted_proxies!r}: {error}. Write addresses or networks, such as 10.0.0.7, 10.1.0.0/16."
        raise ConfigError(message, at=sources["trusted_proxies"]) from error
    if config.clickhouse_url and not config.clickhouse_url.startswith(("http://", "https://")):
        message = f"clickhouse_url = {config.clickhouse_url!r} must begin with http:// or https://."
        raise ConfigError(message, at=sources["clickhouse_url"])
    store_memory = config.find_store_memory()
    if config.query_memory_bytes > store_memory and not config.clickhouse_url:
        raise ConfigError(
            f"query_memory_bytes ({config.query_memory_bytes}) is more than the store's memory ({store_memory}): "
            "one question could take all. Allowed is that much at most; store_memory_bytes changes it.",
            at=sources["query_memory_bytes"],
        )
