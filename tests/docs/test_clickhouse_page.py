"""docs/clickhouse-interface.md, tried from outside: what it says of other tools is what they get."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlencode

import clickhouse_connect
import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "clickhouse-interface.md").read_text(encoding="utf-8")
OTHER_TOOLS = PAGE[PAGE.index("\n## Other tools") :].partition("\n## What")[0]
STATEMENTS = re.findall(r"`((?:SELECT|DESCRIBE|DESC|SHOW|EXISTS|EXPLAIN) [^`.…]+)`", OTHER_TOOLS)
REFUSED = [
    "SELECT 1 SETTINGS max_threads = 1",
    "EXPLAIN SELECT count() FROM events",
    "SELECT * FROM system.parts",
    "SET max_threads = 1",
    "CREATE TEMPORARY TABLE t (x Int8)",
]

pytestmark = pytest.mark.store


@pytest.fixture(scope="module")
def asked(server, build_event):
    """Give a server with two events in it, and a function that asks it over HTTP as the page says."""
    server.send([build_event("page-1"), build_event("page-2")])
    server.wait_loaded()

    def ask(statement, **settings):
        headers = {"X-ClickHouse-User": "default", "X-ClickHouse-Key": server.read_key}
        return server.request("POST", f"/clickhouse/?{urlencode(settings)}", statement, headers=headers)

    return ask


@pytest.fixture(scope="module")
def official(server, asked):
    """Give the official client, made by the line of the page."""
    (line,) = re.findall(r"`(get_client\(.*?\))`", OTHER_TOOLS)
    assert "port=8600" in line
    line = line.replace("host=...", 'host="127.0.0.1"').replace("8600", str(server.port))
    client = eval(line, {"get_client": clickhouse_connect.get_client, "READ_KEY": server.read_key})  # noqa: S307 - the page is ours
    yield client
    client.close()


def test_line_for_the_official_client(official):
    """`get_client` as it stands on the page connects, asks, and binds parameters."""
    assert official.query("SELECT count() FROM events").result_rows == [(2,)]
    asked = official.query(
        "SELECT event_id FROM tallymark.events WHERE event_id = {id:String}", parameters={"id": "page-2"}
    )
    assert asked.result_rows == [("page-2",)]


def test_the_page_names_statements():
    """The page names what other tools may say besides SELECT."""
    assert {"DESCRIBE TABLE events", "SHOW TABLES", "SHOW DATABASES"} <= set(STATEMENTS)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_statements(asked, official, statement):
    """Each statement that the page names is answered, in plain HTTP and to the official client."""
    answer = asked(statement)
    assert answer.status == 200, answer.body
    words = {"DESCRIBE TABLE events": b"event_id", "SHOW TABLES": b"events", "SHOW DATABASES": b"tallymark"}
    assert words.get(statement, b"") in answer.body
    assert official.query(statement).result_rows


@pytest.mark.parametrize(
    "name", re.findall(r"no `system` tables but (.*?)\.", OTHER_TOOLS)[0].replace(" and", ",").split(", ")
)
def test_system_tables(asked, name):
    """The tables of `system` that the page names can be read."""
    answer = asked(f"SELECT * FROM system.{name.strip('`')} LIMIT 1")
    assert answer.status == 200, answer.body
    assert answer.body


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_result_rows", "10"),
        ("output_format_json_quote_64bit_integers", "1"),
        ("date_time_output_format", "iso"),
        ("session_timezone", "Europe/Berlin"),
        ("join_use_nulls", "1"),
        ("extremes", "1"),
        ("group_by_use_nulls", "1"),
        ("format_csv_delimiter", ";"),
        ("max_threads", "1"),
        ("max_block_size", "1000"),
        ("session_id", "s-1"),
    ],
)
def test_settings(asked, name, value):
    """A setting of each kind that the page lists is taken in the address."""
    assert name in OTHER_TOOLS or name.startswith(("max_result", "output_format_"))
    answer = asked("SELECT count() FROM events", **{name: value})
    assert answer.status == 200, answer.body


@pytest.mark.parametrize("statement", REFUSED)
def test_what_is_refused(asked, statement):
    """What the page says there is not is refused, with ClickHouse's code in the header."""
    answer = asked(statement)
    assert answer.status >= 400
    assert int(answer.headers["x-clickhouse-exception-code"]) > 0
