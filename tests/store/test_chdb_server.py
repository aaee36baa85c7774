"""The store process speaks ClickHouse's HTTP interface as clickhouse-connect and curl expect it."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlencode
from uuid import uuid4

import clickhouse_connect
import pandas as pd
import pytest
import zstandard

from tallymark.store.limits import VISITOR_BOUNDS
from tallymark.store.schema import EVENTS_TABLE

pytestmark = pytest.mark.store

PASSWORD = "store-test-password"
DEADLINE = 60.0


@pytest.fixture
def table(store):
    """Make a table of the test's own: an id and a text."""
    name = f"tallymark.t{uuid4().hex}"
    store.client().command(f"CREATE TABLE {name} (id UInt32, text String) ENGINE = MergeTree ORDER BY id")
    return name


@pytest.fixture
def official(store):
    """Make the official client with its defaults, as a user would."""
    client = clickhouse_connect.get_client(
        host="127.0.0.1",
        port=store.port,
        username="tallymark",
        password=PASSWORD,
        show_clickhouse_errors=True,
    )
    yield client
    client.close()


@pytest.fixture
def start_second(store_process):
    """Return a function that starts another store on the same folder and gives its exit code."""

    def start():
        second = type(store_process)(store_process.data_dir)
        with pytest.raises(EOFError):
            second.start()
        second.process.join(DEADLINE)
        return second.process.exitcode

    return start


def wait_until(condition):
    """Wait for a condition with a generous deadline."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def count_running(store, mark):
    sql = f"SELECT count() FROM system.processes WHERE query LIKE '%{mark}%' AND query NOT LIKE '%system.processes%'"
    return store.client().query_rows(sql).rows[0][0]


def test_ping_and_unknown_paths(store):
    """A ping needs no password, and a path that is none answers 404."""
    assert store.ask(method="GET", path="/ping", headers={"X-ClickHouse-Key": ""}).text == "Ok.\n"
    assert store.ask(method="GET", path="/").text == "Ok.\n"
    assert store.ask(method="GET", path="/play").status == 404


def test_three_ways_to_log_in(store):
    """User and password come by header, Basic authentication or URL; wrong ones answer 403 with code 516."""
    basic = "Basic " + base64.b64encode(f"tallymark:{PASSWORD}".encode()).decode()
    for headers, parameters in (
        ({}, {}),
        ({"Authorization": basic}, {}),
        ({}, {"user": "tallymark", "password": PASSWORD}),
    ):
        connection = http.client.HTTPConnection("127.0.0.1", store.port)
        target = "/?" + "&".join(f"{name}={value}" for name, value in parameters.items())
        sent = (
            headers
            if headers or parameters
            else {"X-ClickHouse-User": "tallymark", "X-ClickHouse-Key": PASSWORD}
        )
        connection.request("POST", target, b"SELECT 1", sent)
        assert connection.getresponse().read() == b"1\n"
        connection.close()
    for wrong in (
        {"X-ClickHouse-Key": "wrong"},
        {"X-ClickHouse-Key": ""},
        {"X-ClickHouse-User": "default"},
        {"X-ClickHouse-User": "default", "X-ClickHouse-Key": ""},
    ):
        answer = store.ask("SELECT 1", headers=wrong)
        assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (403, "516")
        assert answer.text.startswith("Code: 516. DB::Exception: ")


def test_query_in_url_or_body(store):
    """The statement comes in the URL, in the body, or begins in the one and ends in the other."""
    assert store.ask(query="SELECT 1", method="GET").text == "1\n"
    assert store.ask("SELECT 2").text == "2\n"
    assert store.ask("+ 3", query="SELECT 1").text == "4\n"
    assert store.ask("").status == 400


def test_get_only_reads(store, table):
    """A GET request that writes is refused."""
    for sql in (
        f"INSERT INTO {table} VALUES (1, 'a')",
        f"TRUNCATE TABLE {table}",
        f"INSERT INTO {table} SELECT 1, 'a'",
    ):
        answer = store.ask(query=sql, method="GET")
        assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (400, "164")


def test_formats_and_headers(store):
    """The answer's format comes from the clause, the URL or the header, and the headers tell it and the query's id."""
    assert store.ask("SELECT 1 AS a FORMAT JSONEachRow").text == '{"a":1}\n'
    assert store.ask("SELECT 1 AS a", default_format="JSONEachRow").text == '{"a":1}\n'
    answer = store.ask("SELECT 1 AS a", headers={"X-ClickHouse-Format": "JSONEachRow"}, query_id="my-id")
    assert answer.text == '{"a":1}\n'
    assert answer.headers["X-ClickHouse-Format"] == "JSONEachRow"
    assert answer.headers["X-ClickHouse-Query-Id"] == "my-id"
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["written_rows"] == "0"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("compress", "1"), ("decompress", "1"), ("client_protocol_version", "54405"), ("quota_key", "x"), ("role", "x"),
        ("buffer_size", "1000"), ("async_insert", "1"),
    ],
)  # fmt: skip
def test_what_is_lacking_is_refused_by_name(store, name, value):
    """A part of the interface that is not here answers 501 and its name."""
    answer = store.ask("SELECT 1", **{name: value})
    assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (501, "48")
    assert name in answer.text


@pytest.mark.parametrize(
    ("parameters", "status", "code"),
    [
        ({"no_such_thing": "1"}, 404, "115"),
        ({"log_comment": "x"}, 400, "452"),
        ({"max_threads": "x"}, 400, None),
        ({"database": "no_such"}, 404, "81"),
        ({"default_format": "NoSuch"}, 404, "73"),
        ({"session_timeout": "never"}, 400, "36"),
        ({"query": "SELECT 1 FROM no_such"}, 404, "60"),
        ({"query": "SELEC"}, 400, "62"),
        ({"query": "SELECT 1; SELECT 2"}, 400, "62"),
        ({"query": "SELECT 1 INTO OUTFILE '/tmp/x'"}, 501, "48"),
        ({"query": "INSERT INTO t FROM INFILE '/tmp/x' FORMAT TSV"}, 501, "48"),
    ],
)
def test_errors_have_clickhouses_status_and_code(store, parameters, status, code):
    """An error answers with ClickHouse's status and code and names what is wrong."""
    answer = store.ask("" if "query" in parameters else "SELECT 1", **parameters)
    assert answer.status == status, answer.text
    assert code in (None, answer.headers["X-ClickHouse-Exception-Code"])
    assert answer.text.startswith(f"Code: {answer.headers['X-ClickHouse-Exception-Code']}. DB::Exception: ")


def test_external_data_is_refused(store):
    """A file in a form (external data) is refused by name."""
    body = b'--B\r\nContent-Disposition: form-data; name="ext"; filename="e"\r\n\r\n1\r\n--B--\r\n'
    answer = store.ask(body, headers={"Content-Type": "multipart/form-data; boundary=B"}, query="SELECT 1")
    assert (answer.status, "External data" in answer.text) == (501, True)


PACKERS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("encoding", PACKERS)
def test_packed_bodies(store, table, encoding):
    """Packed data is unpacked, also in several members, and a broken one inserts nothing."""
    rows = b"".join(b"%d\ttext-%d\n" % (number, number) for number in range(50_000))
    query = f"INSERT INTO {table} FORMAT TSV"
    packed = PACKERS[encoding](rows)
    broken = store.ask(packed[: len(packed) // 2], headers={"Content-Encoding": encoding}, query=query)
    assert broken.status == 400, broken.text
    assert store.client().query_rows(f"SELECT count() FROM {table}").rows == [(0,)]
    assert store.ask(packed, headers={"Content-Encoding": encoding}, query=query).status == 200
    if encoding != "deflate":
        assert (
            store.ask(
                packed + PACKERS[encoding](b"99999\tlast\n"),
                headers={"Content-Encoding": encoding},
                query=query,
            ).status
            == 200
        )
    assert store.client().query_rows(f"SELECT uniqExact(id) FROM {table}").rows[0][0] >= 50_000


@pytest.mark.parametrize(("encoding", "unpack"), [("gzip", gzip.decompress), ("zstd", None)])
def test_packed_answers(store, encoding, unpack):
    """An answer is packed as asked, whole or streamed."""
    for wait in (0, 1):
        answer = store.ask(
            "SELECT number FROM numbers(200000)",
            headers={"Accept-Encoding": encoding},
            enable_http_compression=1,
            wait_end_of_query=wait,
        )
        assert answer.headers["Content-Encoding"] == encoding
        plain = (
            unpack(answer.body)
            if unpack
            else zstandard.ZstdDecompressor().decompressobj().decompress(answer.body)
        )
        assert plain.count(b"\n") == 200_000


@pytest.mark.parametrize("fmt", ["JSONEachRow", "CSV", "TSV", "RowBinary", "Native", "Parquet", "Values"])
def test_inserts_in_every_format(store, table, fmt):
    """What the store wrote in a format it takes back in that format, as the body or behind the statement."""
    client = store.client()
    sql = "SELECT toUInt32(number) AS id, concat('t\t', toString(number), char(10), 'é') AS text FROM numbers(100)"
    data = client.query_raw(sql, fmt=fmt)
    assert store.ask(data, query=f"INSERT INTO {table} FORMAT {fmt}").status == 200
    if fmt != "Parquet":
        assert store.ask(f"INSERT INTO {table} (id, text) FORMAT {fmt}\n".encode() + data).status == 200
    counted = client.query_rows(f"SELECT count(), uniqExact(id, text), any(length(text)) FROM {table}").rows[
        0
    ]
    assert counted[1] == 100
    assert counted[0] in {100, 200}
    back = client.query_raw(f"SELECT DISTINCT id, text FROM {table} ORDER BY id", fmt="TSV")
    assert back == client.query_raw(f"SELECT * FROM ({sql}) ORDER BY id", fmt="TSV")


def test_the_official_clients_inserts_and_frames(official, table):
    """clickhouse-connect inserts rows and data frames with its defaults and reads them back."""
    official.insert(table, [[1, "a\tb"], [2, "é'\\"]], column_names=["id", "text"])
    frame = pd.DataFrame({"id": range(3, 1003), "text": [f"row {number}" for number in range(1000)]})
    official.insert_df(table, frame)
    found = official.query_df(f"SELECT * FROM {table} ORDER BY id")
    assert list(found["text"][:2]) == ["a\tb", "é'\\"]
    assert len(found) == 1002
    with official.query_row_block_stream(f"SELECT id FROM {table}") as stream:
        assert sum(len(block) for block in stream) == 1002
    with official.query_df_stream(f"SELECT id, text FROM {table}") as stream:
        assert sum(len(block) for block in stream) == 1002
    assert official.query(f"SELECT * FROM {table} WHERE 0").column_names == ("id", "text")
    assert official.query_arrow(f"SELECT id FROM {table}").num_rows == 1002


def test_the_official_clients_sessions(store):
    """Within a session SET and temporary tables last; outside they do not, and settings in a URL never do."""
    session = uuid4().hex
    client = clickhouse_connect.get_client(
        host="127.0.0.1", port=store.port, username="tallymark", password=PASSWORD, session_id=session
    )
    client.command("CREATE TEMPORARY TABLE kept (a Int8)")
    client.command("INSERT INTO kept VALUES (7)")
    client.command("SET max_block_size = 1234")
    assert client.query("SELECT a, getSetting('max_block_size') FROM kept").result_rows == [(7, 1234)]
    assert client.query(
        "SELECT getSetting('max_block_size')", settings={"max_block_size": 99}
    ).result_rows == [(99,)]
    assert client.query("SELECT getSetting('max_block_size')").result_rows == [(1234,)]
    client.close()
    assert store.ask("SELECT * FROM kept").status == 404
    assert store.ask("SELECT getSetting('max_block_size') = 1234").text == "0\n"
    gone = store.ask("SELECT 1", session_id=uuid4().hex, session_check=1)
    assert (gone.status, gone.headers["X-ClickHouse-Exception-Code"]) == (404, "372")


def test_a_session_serves_one_request_at_a_time(store):
    """A second request in a session that is in use is refused with ClickHouse's code."""
    session, mark = uuid4().hex, uuid4().hex
    sql = f"SELECT sum(sleepEachRow(0.05)), '{mark}' FROM numbers(100000) SETTINGS max_block_size = 1"
    thread = threading.Thread(target=store.ask, args=(sql,), kwargs={"session_id": session, "query_id": mark})
    thread.start()
    wait_until(lambda: count_running(store, mark))
    busy = store.ask("SELECT 1", session_id=session)
    store.ask(f"KILL QUERY WHERE query_id = '{mark}'")
    thread.join(DEADLINE)
    assert (busy.status, busy.headers["X-ClickHouse-Exception-Code"]) == (409, "373")


def start_slow(store, mark, **parameters):
    """Start a query that runs for a long time; returns its thread and the place of its answer."""
    answers = []
    sql = f"SELECT sum(sleepEachRow(0.05)), '{mark}' FROM numbers(100000) SETTINGS max_block_size = 1"
    thread = threading.Thread(target=lambda: answers.append(store.ask(sql, **parameters)))
    thread.start()
    wait_until(lambda: count_running(store, mark))
    return thread, answers


def test_kill_query(store):
    """KILL QUERY by query_id ends the query with code 394 and nothing else."""
    mark, other = uuid4().hex, uuid4().hex
    first = start_slow(store, mark, query_id=mark)
    second = start_slow(store, other, query_id=other)
    assert store.ask(f"KILL QUERY WHERE query_id = '{mark}'").status == 200
    first[0].join(DEADLINE)
    assert first[1][0].headers["X-ClickHouse-Exception-Code"] == "394"
    assert count_running(store, other) == 1
    store.ask(f"KILL QUERY WHERE query_id = '{other}' SYNC")
    second[0].join(DEADLINE)
    assert second[1][0].status >= 400


def test_a_query_that_is_just_beginning_is_stopped(store):
    """As soon as KILL QUERY says that it found the query one is enough: it ends, also where the engine did not know it yet."""
    sql = "SELECT sum(sleepEachRow(0.05)) FROM numbers(100000) SETTINGS max_block_size = 1"
    for _ in range(20):
        mark, answers = uuid4().hex, []
        thread = threading.Thread(
            target=lambda into, mark: into.append(store.ask(sql, query_id=mark)), args=(answers, mark)
        )
        thread.start()
        while thread.is_alive() and not store.ask(f"KILL QUERY WHERE query_id = '{mark}'").text:
            pass
        thread.join(DEADLINE)
        assert answers[0].headers["X-ClickHouse-Exception-Code"] == "394"


def test_one_id_runs_once(store):
    """A query_id that runs is refused a second time, unless the new query replaces the running one."""
    mark = uuid4().hex
    thread, answers = start_slow(store, mark, query_id=mark)
    assert store.ask("SELECT 1", query_id=mark).headers["X-ClickHouse-Exception-Code"] == "216"
    assert store.ask("SELECT 1", query_id=mark, replace_running_query=1).text == "1\n"
    thread.join(DEADLINE)
    assert answers[0].headers["X-ClickHouse-Exception-Code"] == "394"


@pytest.mark.parametrize("wait", [0, 1])
def test_a_caller_that_leaves_stops_its_query(store, wait):
    """When the caller closes the connection its query ends."""
    mark = uuid4().hex
    sql = f"SELECT sleepEachRow(0.05), '{mark}' FROM numbers(100000) SETTINGS max_block_size = 1"
    connection = http.client.HTTPConnection("127.0.0.1", store.port)
    login = {"X-ClickHouse-User": "tallymark", "X-ClickHouse-Key": PASSWORD}
    connection.request("POST", f"/?wait_end_of_query={wait}", sql, login)
    wait_until(lambda: count_running(store, mark))
    connection.close()
    wait_until(lambda: not count_running(store, mark))


def test_callers_that_leave_without_reading_give_back_their_places(store):
    """Callers who took nothing of a large answer close their side: the writes that wait for them end, and others get the places."""
    project = uuid4().hex
    query = urlencode({"query": "SELECT repeat('x', 1000) FROM numbers(900000)"})
    login = {"X-ClickHouse-User": "public", "X-ClickHouse-Key": PASSWORD, "X-Tallymark-Project": project}
    head = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "x", **login}.items())
    with ExitStack() as stack:
        callers = [stack.enter_context(socket.socket()) for _ in range(VISITOR_BOUNDS.each)]
        for caller in callers:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            caller.connect(("127.0.0.1", store.port))
            caller.sendall(f"GET /?{query} HTTP/1.1\r\n{head}\r\n".encode())
            # The answer is on its way, and far more of it than the system keeps for a reader.
            assert caller.recv(1, socket.MSG_PEEK)
        refused = store.ask(query="SELECT 1", project=project)
        assert (refused.status, refused.headers["X-ClickHouse-Exception-Code"]) == (503, "202")
        assert int(refused.headers["Retry-After"]) > 0
        for caller in callers:
            caller.shutdown(socket.SHUT_RDWR)
        answer = store.ask(query="SELECT 1", project=project)
        assert (answer.status, answer.text) == (200, "1\n")


def test_long_questions_do_not_hold_up_inserts(store, table):
    """With every place for questions taken by slow ones, an insert still goes through."""
    marks = [uuid4().hex for _ in range(7)]
    slow = [start_slow(store, mark, query_id=mark) for mark in marks]
    assert store.ask("1\ta\n", query=f"INSERT INTO {table} FORMAT TSV").status == 200
    for mark in marks:
        store.ask(f"KILL QUERY WHERE query_id = '{mark}'")
    for thread, _ in slow:
        thread.join(DEADLINE)


def test_an_error_in_the_middle_of_an_answer(official):
    """An error after the first rows breaks the answer off with its text, and the official client raises it."""
    sql = "SELECT number, throwIf(number = 900000, 'too far') FROM numbers(1000000)"
    with pytest.raises(Exception, match="too far"), official.query_rows_stream(sql) as stream:
        for _ in stream:
            pass


def test_a_body_that_breaks_off_inserts_nothing(store, table):
    """An insert whose sender disappears in the middle of the body leaves no row and no file behind."""
    login = f"X-ClickHouse-User: tallymark\r\nX-ClickHouse-Key: {PASSWORD}\r\n"
    with socket.create_connection(("127.0.0.1", store.port)) as raw:
        head = f"POST /?query=INSERT+INTO+{table}+FORMAT+TSV HTTP/1.1\r\nHost: x\r\n{login}Content-Length: 1000\r\n\r\n"
        raw.sendall(head.encode() + b"1\ta\n2\tb\n")
    wait_until(lambda: not list((store.data_dir / "store-spool").iterdir()))
    assert store.client().query_rows(f"SELECT count() FROM {table}").rows == [(0,)]


def test_settings_never_leak_between_requests(store):
    """A SET, a USE or a setting of one request is unknown to the next."""
    store.ask("SET max_block_size = 77")
    store.ask("USE system")
    store.ask("SELECT 1", max_block_size=78)
    assert (
        store.ask("SELECT getSetting('max_block_size') IN (77, 78), currentDatabase()").text == "0\tdefault\n"
    )


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(store, table):
    """With curl one asks, inserts a file with chunked transfer and reads what was stored."""
    url = f"http://127.0.0.1:{store.port}/"
    base = ["curl", "-sS", "--user", f"tallymark:{PASSWORD}"]
    asked = subprocess.run([*base, url, "--data-binary", "SELECT 1 + 1"], capture_output=True, check=True)
    assert asked.stdout == b"2\n"
    rows = b"".join(b"%d\tx\n" % number for number in range(300_000))
    target = f"{url}?query=INSERT%20INTO%20{table}%20FORMAT%20TSV"
    for extra in ([], ["-H", "Transfer-Encoding: chunked"]):
        sent = [*base, *extra, target, "--data-binary", "@-"]
        subprocess.run(sent, input=rows, capture_output=True, check=True)
    counted = subprocess.run(
        [*base, url, "-d", f"SELECT count() FROM {table}"], capture_output=True, check=True
    )
    assert counted.stdout == b"600000\n"


def test_sigterm_ends_cleanly(store_process):
    """SIGTERM stops a running question, closes the engine and exits with 0; what was stored is there afterwards."""
    client = store_process.client()
    client.command(f"INSERT INTO {EVENTS_TABLE} (event_id) VALUES ('kept')")
    mark = uuid4().hex
    sql = f"SELECT sum(sleepEachRow(0.05)), '{mark}' FROM numbers(100000) SETTINGS max_block_size = 1"
    answers = []
    thread = threading.Thread(target=lambda: answers.append(store_process.ask(sql)))
    thread.start()
    wait_until(lambda: count_running(store_process, mark))
    assert store_process.stop() == 0
    thread.join(DEADLINE)
    assert answers[0].status >= 400
    store_process.start()
    assert store_process.client().query_rows(f"SELECT event_id FROM {EVENTS_TABLE}").rows == [("kept",)]


def test_kills_lose_no_acknowledged_insert(store_process, build_row, render_rows):
    """Killed again and again in the middle of inserts, the store keeps every acknowledged one, and tokens insert once."""
    source = random.Random(7)
    acknowledged = set()
    batch, rounds = 0, 6
    rows = [build_row(number) for number in range(2000)]
    for _ in range(rounds):
        done = threading.Event()

        def send(begin=batch, done=done):
            client = store_process.client(timeout=60)
            number = begin
            while not done.is_set():
                for row in rows:
                    row["journal_record"] = number
                try:
                    client.insert_ndjson(EVENTS_TABLE, render_rows(rows), token=f"batch-{number}")
                except Exception:  # noqa: BLE001 - the store was killed: the outcome is unknown
                    return
                acknowledged.add(number)
                number += 1

        sender = threading.Thread(target=send)
        before = len(acknowledged)
        sender.start()
        wait_until(lambda before=before: len(acknowledged) > before + 1)
        time.sleep(source.random() * 0.2)
        store_process.kill()
        done.set()
        sender.join(DEADLINE)
        batch = max(acknowledged) + 1
        store_process.start()
        # The one whose answer never came is sent again with its token, as the loader does.
        for row in rows:
            row["journal_record"] = batch
        store_process.client().insert_ndjson(EVENTS_TABLE, render_rows(rows), token=f"batch-{batch}")
        acknowledged.add(batch)
        batch += 1
    store_process.client().insert_ndjson(EVENTS_TABLE, render_rows(rows), token=f"batch-{batch - 1}")
    counted = store_process.client().query_rows(
        f"SELECT journal_record, count() FROM {EVENTS_TABLE} GROUP BY journal_record ORDER BY journal_record"
    )
    assert counted.rows == [(number, len(rows)) for number in sorted(acknowledged)]
    print(f"{rounds} kills, {len(acknowledged)} acknowledged inserts, none lost, none twice")


def test_one_process_per_folder(store_process, start_second):
    """A second store on the same folder does not start, and the first goes on with what it has."""
    waiting = store_process.data_dir / "store-spool" / "waiting.data"
    waiting.write_bytes(b"1")
    assert start_second() not in (0, None)
    assert waiting.exists()
    assert store_process.ask("SELECT 1").text == "1\n"


def test_the_store_ends_with_its_parent(tmp_path):
    """When the process that started it is killed, the store ends and the folder is free."""
    script = (
        "import multiprocessing, pathlib, sys, os, signal\n"
        "from tallymark.store.chdb_server import run_store\n"
        "def serve(path, pipe):\n"
        "    run_store(pathlib.Path(path), 0, 'x', memory_limit_bytes=1 << 30, ready=pipe.send)\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    ours, theirs = context.Pipe()\n"
        "    child = context.Process(target=serve, args=(sys.argv[1], theirs))\n"
        "    child.start()\n"
        "    ours.recv()\n"
        "    print(child.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "parent.py"
    path.write_text(script)
    started = subprocess.run(
        [sys.executable, str(path), str(tmp_path / "data")],
        capture_output=True,
        timeout=DEADLINE,
        check=False,
    )
    assert started.returncode == -signal.SIGKILL
    pid = int(started.stdout)

    def is_gone():
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except FileNotFoundError:
            return True

    wait_until(is_gone)
