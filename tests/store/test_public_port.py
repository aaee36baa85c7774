"""`/clickhouse` on the public port as other people's tools meet it: clickhouse-connect, and bare HTTP as curl."""

from __future__ import annotations

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, ProgrammingError
from litestar.exceptions import MethodNotAllowedException

from tallymark.web.api.clickhouse import answer_http_exception

pytestmark = pytest.mark.store


@pytest.fixture
def connect(server):
    """Return a function that makes the official client with a key, as the docs say."""
    clients = []

    def run(key, username="default"):
        client = clickhouse_connect.get_client(
            host="127.0.0.1", port=server.port, username=username, password=key, proxy_path="/clickhouse"
        )
        clients.append(client)
        return client

    yield run
    for client in clients:
        client.close()


def test_describe_and_show(connect, server):
    """The statements that the docs name work as commands and as queries of the official client."""
    client = connect(server.read_key)
    assert client.command("describe table events")[0] == "project"
    assert client.command("show tables") == "events"
    assert client.command("SHOW DATABASES") == "tallymark"
    assert client.query("DESCRIBE TABLE events").result_rows[0][:2] == ("project", "LowCardinality(String)")


def test_settings(connect, server):
    """Documented settings of the official client arrive and count; others it does not even send."""
    client = connect(server.read_key)
    asked = "SELECT value FROM system.settings WHERE name = {name:String}"
    for name, value in (("max_threads", 1), ("max_block_size", 77), ("session_timezone", "Asia/Tokyo")):
        answer = client.query(asked, parameters={"name": name}, settings={name: value})
        assert answer.result_rows == [(str(value),)]
    with pytest.raises(DatabaseError) as refused:
        client.query("SELECT number FROM numbers(2)", settings={"max_result_rows": 1})
    assert refused.value.code == 396
    with pytest.raises(ProgrammingError, match="readonly"):
        client.query("SELECT 1", settings={"log_comment": "*"})


def test_keys_that_do_not_fit(connect, server):
    """The official client tells a wrong key from one that may not read by ClickHouse's codes."""
    for key, username, code in (
        ("no-such-key", "default", 516),
        (server.write_key, "default", 497),
        (server.read_key, "another-project", 497),
    ):
        with pytest.raises(DatabaseError) as refused:
            connect(key, username)
        assert refused.value.code == code


@pytest.mark.parametrize("path", ["/clickhouse", "/clickhouse/"])
def test_refusals_have_clickhouses_form(server, path):
    """What is turned away before the store keeps its status and says ClickHouse's code in header and text."""
    for key, body, status, code, name in (
        ("", "SELECT 1", 401, 516, "AUTHENTICATION_FAILED"),
        ("no-such-key", "SELECT 1", 401, 516, "AUTHENTICATION_FAILED"),
        (server.write_key, "SELECT 1", 403, 497, "ACCESS_DENIED"),
        (server.read_key, "x" * (1024 * 1024 + 1), 413, 229, "QUERY_IS_TOO_LARGE"),
    ):
        answer = server.request("POST", path, body, key=key)
        text = answer.body.decode()
        assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (status, str(code)), text
        assert answer.headers["content-type"].startswith("text/plain")
        assert text.startswith(f"Code: {code}. DB::Exception: ")
        assert text.endswith(f"({name})\n")


def test_a_method_that_is_none():
    """A method that the address does not take is told in the same form."""
    response = answer_http_exception(None, MethodNotAllowedException(headers={"Allow": "GET, POST"}))
    assert (response.status_code, response.headers["X-ClickHouse-Exception-Code"]) == (405, "1")
    assert response.headers["Allow"] == "GET, POST"
    assert response.content == b"Code: 1. DB::Exception: Method Not Allowed (UNSUPPORTED_METHOD)\n"
