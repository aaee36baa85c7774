"""Our own way to the store: parameters, errors and inserts mean the same whatever they hold."""

from __future__ import annotations

import json
import random
import socket
import threading
import unicodedata
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from tallymark.errors import ConfigError
from tallymark.store.client import StoreClient
from tallymark.store.errors import QueryTooExpensive, StoreError, StoreUnavailable
from tallymark.store.schema import EVENT_COLUMNS, EVENTS_TABLE

pytestmark = pytest.mark.store


def build_texts(count):
    """Texts of every kind but NUL and lone surrogates; a third of them nothing but characters with a meaning."""
    source = random.Random(20260101)
    special = "\t\n\r\\'\"`{}:%\b\f\v\x01\x1b\x7f;--/**/ ?$N"
    for number in range(count):
        length = source.randrange(0, 30)
        if number % 3 == 0:
            yield "".join(source.choice(special) for _ in range(length))
            continue
        points = (source.randrange(1, 0x110000 if number % 3 == 1 else 0x250) for _ in range(length))
        yield "".join(chr(point) for point in points if unicodedata.category(chr(point)) != "Cs")


def test_any_text_comes_back(store):
    """2,000 texts with every kind of character come back through parameters as they went."""
    client = store.client()
    texts = [*build_texts(1999), "\\N"]
    for begin in range(0, len(texts), 20):
        part = texts[begin : begin + 20]
        names = {f"p{number}": text for number, text in enumerate(part)}
        columns = ", ".join(f"{{{name}:String}}" for name in names)
        assert list(client.query_rows(f"SELECT {columns}", names).rows[0]) == part


def test_texts_in_arrays_come_back(store):
    """Texts inside arrays, maps and tuples come back as they went."""
    client = store.client()
    texts = list(build_texts(300))
    for begin in range(0, len(texts), 10):
        part = texts[begin : begin + 10]
        answer = client.query_rows("SELECT {a:Array(String)}, {a:Array(String)}[1]", {"a": part})
        assert answer.rows == [(part, part[0])]


def test_long_parameters_go_as_a_form(store):
    """Parameters too long for a URL arrive whole."""
    texts = ["x" * 200_000, "é\t" * 50_000]
    answer = store.client().query_rows("SELECT {a:String}, {b:String}", {"a": texts[0], "b": texts[1]})
    assert list(answer.rows[0]) == texts


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("Nullable(String)", None),
        ("Nullable(String)", "x"),
        ("Int64", -(2**63)),
        ("UInt64", 2**64 - 1),
        ("Float64", 1.5),
        ("Bool", True),
        ("DateTime64(6, 'UTC')", datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)),
        ("Array(UInt8)", [1, 2, 3]),
        ("Array(Nullable(Int32))", [1, None]),
        ("Array(Array(String))", [["a", "b'"], []]),
    ],
)
def test_typed_parameters(store, kind, value):
    """A parameter of any type comes back as the value that went."""
    answer = store.client().query_rows(f"SELECT {{v:{kind}}} AS v", {"v": value})
    assert (answer.rows[0][0], answer.types[0]) == (value, kind)


def test_identifiers_as_parameters(store):
    """An Identifier names a table or column and can be nothing else."""
    client = store.client()
    assert client.query_rows("SELECT {c:Identifier} FROM numbers(1)", {"c": "number"}).rows == [(0,)]
    with pytest.raises(StoreError):
        client.query_rows("SELECT {c:Identifier} FROM numbers(1)", {"c": "number, 1"})


def test_answers_tell_columns_types_and_cost(store):
    """An answer names its columns and their ClickHouse types and tells what was read."""
    answer = store.client().query_rows("SELECT number AS n, toString(number) AS t FROM numbers(5)")
    assert (answer.columns, answer.types) == (("n", "t"), ("UInt64", "String"))
    assert answer.rows[-1] == (4, "4")
    assert answer.statistics.read_rows == 5
    assert answer.statistics.elapsed > 0


def test_an_answer_without_rows_tells_its_columns(store):
    """An answer without rows still names its columns and types, for every type that the event table has."""
    client = store.client()
    sql = f"SELECT *, {{a:String}} AS given FROM {EVENTS_TABLE} WHERE project = {{p:String}} -- nothing"
    answer = client.query_rows(sql, {"a": "x", "p": "no such project"})
    assert answer.rows == []
    assert answer.columns == (*(column.name for column in EVENT_COLUMNS), "given")
    assert answer.types[0] == "LowCardinality(String)"


@pytest.mark.parametrize(
    ("sql", "number", "name", "kind"),
    [
        ("SELEC 1", 62, "SYNTAX_ERROR", StoreError),
        ("SELECT * FROM no_such_table", 60, "UNKNOWN_TABLE", StoreError),
        ("SELECT no_such_column FROM system.one", 47, "UNKNOWN_IDENTIFIER", StoreError),
        ("SELECT no_such_function(1)", 46, "UNKNOWN_FUNCTION", StoreError),
        ("SELECT throwIf(1, 'why not')", 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO", StoreError),
        ("SELECT {missing:String}", 456, "UNKNOWN_QUERY_PARAMETER", StoreError),
    ],
)
def test_errors_keep_clickhouses_codes(store, sql, number, name, kind):
    """An error is of its kind and keeps ClickHouse's number and name."""
    with pytest.raises(kind) as failed:
        store.client().query_rows(sql)
    assert (failed.value.number, failed.value.name) == (number, name)


@pytest.mark.parametrize(
    ("sql", "settings", "number"),
    [
        (
            "SELECT sum(sleepEachRow(0.01)) FROM numbers(100000)",
            {"max_execution_time": 1, "max_block_size": 1},
            159,
        ),
        ("SELECT groupArray(number) FROM numbers(100000000)", {"max_memory_usage": 50_000_000}, 241),
        ("SELECT count() FROM numbers(1000000)", {"max_rows_to_read": 1000}, 158),
        ("SELECT number FROM numbers(1000000)", {"max_result_rows": 1000}, 396),
        ("SELECT repeat('x', 1000) FROM numbers(10000)", {"max_result_bytes": 1000}, 396),
    ],
)
def test_limits_end_a_question_with_the_reason(store, sql, settings, number):
    """A question that runs into a limit ends as QueryTooExpensive with the limit's code."""
    with pytest.raises(QueryTooExpensive) as ended:
        store.client().query_rows(sql, settings=settings)
    assert ended.value.number == number


def test_an_unreachable_store(tmp_path):
    """A store that is not there is StoreUnavailable for every call, and a ping says no."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with StoreClient(f"http://127.0.0.1:{unused.getsockname()[1]}", password="x") as client:
            assert not client.ping()
            for call in (
                lambda: client.query_rows("SELECT 1"),
                lambda: client.insert_ndjson(EVENTS_TABLE, b"{}\n", token="x"),
                lambda: client.command("SELECT 1"),
            ):
                with pytest.raises(StoreUnavailable):
                    call()


@pytest.mark.parametrize("url", ["", "localhost:8123", "ftp://host:1", "http://"])
def test_a_wrong_url_is_told_at_once(url):
    """An address that is none is refused when the client is made."""
    with pytest.raises(ConfigError, match="URL"):
        StoreClient(url)


def test_a_token_inserts_once(store, build_row, render_rows):
    """The same token inserts nothing the second time, another token does; from bytes and from a file."""
    client = store.client()
    project = uuid4().hex
    body = render_rows([build_row(number, project=project) for number in range(10)])
    count = f"SELECT count() FROM {EVENTS_TABLE} WHERE project = {{p:String}}"
    for token, expected in (("a", 10), ("a", 10), ("b", 20), ("a", 20)):
        client.insert_ndjson(EVENTS_TABLE, body, token=project + token)
        assert client.query_rows(count, {"p": project}).rows == [(expected,)]


def test_inserts_from_a_file(store, build_row, render_rows, tmp_path):
    """Rows in a file are inserted as those in memory."""
    client = store.client()
    project = uuid4().hex
    path = tmp_path / "rows.ndjson"
    path.write_bytes(render_rows([build_row(number, project=project) for number in range(5)]))
    client.insert_ndjson(EVENTS_TABLE, path, token=project)
    answer = client.query_rows(
        f"SELECT count() FROM {EVENTS_TABLE} WHERE project = {{p:String}}", {"p": project}
    )
    assert answer.rows == [(5,)]


@pytest.mark.parametrize(
    "broken", [b"{", b"nonsense\n", b'{"client_time": "no time"}\n', b'{"value": "x"}\n']
)
def test_a_bad_row_refuses_the_whole_insert(store, build_row, render_rows, broken):
    """One row that the store cannot take refuses all rows of its insert, with a code, and leaves none behind."""
    client = store.client()
    project = uuid4().hex
    good = render_rows([build_row(number, project=project) for number in range(1000)])
    with pytest.raises(StoreError):
        client.insert_ndjson(EVENTS_TABLE, good + broken, token=project)
    answer = client.query_rows(
        f"SELECT count() FROM {EVENTS_TABLE} WHERE project = {{p:String}}", {"p": project}
    )
    assert answer.rows == [(0,)]


def test_many_threads_share_one_client(store):
    """One client serves many threads at once, each with its own answer."""
    client = store.client()
    found = {}

    def work(number):
        found[number] = [
            client.query_rows("SELECT {n:UInt32} + 1", {"n": number}).rows[0][0] for _ in range(10)
        ]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: [number + 1] * 10 for number in range(8)}


def test_json_answers_keep_big_numbers(store):
    """A 64-bit integer in a JSON answer is a number with all its digits."""
    body = store.client().query_raw("SELECT toUInt64(18446744073709551615) AS n", fmt="JSONEachRow")
    assert json.loads(body) == {"n": 2**64 - 1}
