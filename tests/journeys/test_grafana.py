"""What Grafana's ClickHouse data source sends over HTTP, written down from its source, is answered right.

Its driver posts the statement with Basic authorization, asks for the Native format and for gzip, and greets with a question
for name, version, revision and time zone. Grafana itself was not started here.
"""

from __future__ import annotations

import base64
import gzip
import struct
from urllib.parse import urlencode

import pytest

pytestmark = pytest.mark.store

# Which driver's version sends what beside the statement.
DRIVERS = {
    "older": {"default_format": "Native", "database": "tallymark"},
    "present": {"default_format": "Native", "database": "tallymark", "enable_http_compression": "1"},
}  # fmt: skip


_FORMS = {"UInt64": "<Q", "UInt32": "<I", "DateTime": "<I", "UInt16": "<H", "UInt8": "<B", "Float64": "<d"}
# The zone of the engine's machine, which is UTC under either name.
_ZONES = (["UTC"], ["Etc/UTC"])


@pytest.fixture(scope="module")
def seen(server, build_event):
    """Store a few events of one hour."""
    events = [
        build_event(f"grafana-{n}", event_name="opened", event_time=f"2026-01-31T12:{n:02}:00Z", value=float(n)) for n in range(6)
    ]  # fmt: skip
    assert server.send(events).status == 200
    server.wait_loaded()


def _ask(server, statement, **fields):
    """Post as the driver does; return the answer's body, unpacked."""
    token = base64.b64encode(f"default:{server.read_key}".encode()).decode()
    headers = {
        "Authorization": f"Basic {token}",
        "Accept-Encoding": "gzip",
        "User-Agent": "grafana/11.3.0 clickhouse-go/2.30.0",
    }
    answer = server.request("POST", f"/clickhouse/?{urlencode(fields)}", statement, key="", headers=headers)
    assert answer.status == 200, answer.body
    return gzip.decompress(answer.body) if answer.headers.get("content-encoding") == "gzip" else answer.body


def _read_count(body, at):
    value = shift = 0
    while True:
        byte = body[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _read_text(body, at):
    size, at = _read_count(body, at)
    return body[at : at + size].decode(), at + size


def _read_native(body):
    """Return (name, type, values) of each column of the first block; texts and the usual numbers only."""
    at, columns = 0, []
    width, at = _read_count(body, at)
    rows, at = _read_count(body, at)
    for _ in range(width):
        name, at = _read_text(body, at)
        kind, at = _read_text(body, at)
        plain = kind.removeprefix("Nullable(").removesuffix(")") if kind.startswith("Nullable(") else kind
        if plain != kind:
            at += rows
        values = []
        for _ in range(rows):
            if plain == "String":
                value, at = _read_text(body, at)
            else:
                form = _FORMS[plain.split("(")[0]]
                (value,) = struct.unpack_from(form, body, at)
                at += struct.calcsize(form)
            values.append(value)
        columns.append((name, kind, values))
    return columns


@pytest.fixture(params=DRIVERS)
def ask(request, server, seen):
    fields = DRIVERS[request.param]
    return lambda statement, **more: _read_native(_ask(server, statement, **fields, **more))


def test_greeting_and_health(ask):
    """The driver's greeting has name, version, revision and a known time zone; the health check has its 1."""
    assert ask("SELECT timeZone()")[0][2] in _ZONES
    (name, version, revision, zone) = ask("SELECT displayName(), version(), revision(), timezone()")
    assert version[2][0].split(".")[0].isdigit()
    assert revision[2][0] > 54000
    assert zone[2] in _ZONES
    # Not the name of the machine.
    assert name[2] == ["tallymark"]
    assert ask("SELECT 1")[0][2] == [1]


def test_what_the_editor_asks(ask):
    """Databases, tables and columns, as the query editor lists them."""
    assert "tallymark" in ask("SHOW DATABASES")[0][2]
    assert ask("SHOW TABLES FROM tallymark")[0][2] == ["events"]
    names = ask('DESC TABLE "tallymark"."events"')[0][2]
    assert {"event_name", "event_time", "attributes"} <= set(names)
    tables = ask("SELECT database, name FROM system.tables ORDER BY database, name")
    assert ("tallymark", "events") in zip(tables[0][2], tables[1][2], strict=True)
    statement = (
        "SELECT database, table, name, type, comment FROM system.columns"
        " WHERE (database, table) IN (('tallymark', 'events')) ORDER BY database, table, position"
    )
    assert ask(statement)[2][2] == names


def test_a_panels_question(ask):
    """A time series as the macros expand it: the interval's begin, the filter on the time, a figure."""
    statement = (
        "SELECT toStartOfInterval(toDateTime(event_time), INTERVAL 120 second) AS time, count() AS n, avg(value) AS mean"
        " FROM tallymark.events WHERE event_name = 'opened' AND"
        " event_time >= toDateTime(1769860800) AND event_time <= toDateTime(1769864400) GROUP BY time ORDER BY time"
    )
    time, count, mean = ask(statement, max_execution_time="10")
    assert count[2] == [2, 2, 2]
    assert time[2] == [1769860800, 1769860920, 1769861040]
    assert mean[2] == [0.5, 2.5, 4.5]


def test_values_of_a_column(ask):
    """The editor's offers of a column's values; their limit on time has to be given beside the statement."""
    with pytest.raises(AssertionError, match="max_execution_time"):
        ask("SELECT DISTINCT event_name FROM tallymark.events SETTINGS max_execution_time=10")
    assert ask("SELECT DISTINCT CAST(event_name, 'String') AS name FROM tallymark.events")[0][2] == ["opened"]
