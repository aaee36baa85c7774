"""Other people's tools see one project and nothing of the machine: every way around that the engine knows of is tried."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest

from tallymark.store.errors import StoreError
from tallymark.store.partitions import find_bucket
from tallymark.store.schema import EVENT_COLUMNS, EVENTS_TABLE
from tallymark.store.system_tables import ANSWERED_TABLES
from tallymark.store.visitors import VIRTUAL_COLUMNS

pytestmark = pytest.mark.store

OURS = 3
THEIRS = 5
SECRET = "secret-of-another-project"


@pytest.fixture(scope="module")
def projects(store):
    """Two projects with rows; the names of both."""
    mine, other = f"mine-{uuid4().hex}", f"other-{uuid4().hex}"
    client = store.client()
    client.command(
        f"INSERT INTO {EVENTS_TABLE} (project, event_id, event_name, client_time, received_at, user_id, attributes) "
        f"SELECT if(number < {OURS}, {{mine:String}}, {{other:String}}), toString(number), 'clicked', "
        f"'2026-01-01', '2026-01-01', if(number < {OURS}, 'u', '{SECRET}'), '{{\"plan\": \"p\"}}' "
        f"FROM numbers({OURS + THEIRS})",
        {"mine": mine, "other": other},
    )
    client.command(
        "CREATE TABLE IF NOT EXISTS tallymark.secrets (text String) ENGINE = MergeTree ORDER BY text"
    )
    client.command(f"INSERT INTO tallymark.secrets VALUES ('{SECRET}')")
    return mine, other


@pytest.fixture
def ask(store, projects):
    """Return a function that asks as a visitor of the first project."""

    def run(sql, **parameters):
        return store.ask(sql, project=projects[0], **parameters)

    return run


def assert_refused(answer, *codes):
    """Check that the answer is an error with one of the codes and tells nothing of the other project."""
    assert answer.status >= 400, answer.text
    found = int(answer.headers["X-ClickHouse-Exception-Code"])
    assert found in codes, answer.text
    assert SECRET not in answer.text


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count() FROM events",
        "SELECT count(*) FROM tallymark.events",
        "SELECT count() FROM `tallymark`.`events` AS e",
        "SELECT sum(c) FROM (SELECT count() AS c FROM events GROUP BY project)",
        "WITH x AS (SELECT * FROM events) SELECT count() FROM x",
        "WITH events AS (SELECT * FROM tallymark.events) SELECT count() FROM events",
        "SELECT countIf(project != '') FROM events PREWHERE 1",
        "SELECT count() FROM events WHERE project LIKE '%' OR 1",
        "SELECT count() FROM events AS a INNER JOIN events AS b ON a.event_id = b.event_id",
        "SELECT count() FROM (SELECT 1 FROM events UNION ALL SELECT 1 FROM events WHERE 0)",
        "SELECT uniqExact(event_id) FROM events",
        "SELECT count() /* SETTINGS log_comment = '*' */ FROM events -- FROM system.parts",
        "SELECT (SELECT count() FROM events)",
        "SELECT count() FROM events WHERE event_id IN (SELECT event_id FROM events)",
        "SELECT count() FROM {d:Identifier}.{t:Identifier}",
        "SELECT countIf(attributes.plan = 'p') FROM events",
        "SELECT length(groupArray(event_id)) FROM events;",
        "SELECT toUInt64(max(n)) FROM (SELECT row_number() OVER (ORDER BY event_id) AS n FROM events)",
        "SELECT count(DISTINCT event_id) FROM events HAVING 1 ORDER BY 1 LIMIT 1",
    ],
)
def test_visitors_see_their_project_alone(ask, sql):
    """However the event table is asked for, only the rows of the visitor's project count."""
    answer = ask(sql, param_d="tallymark", param_t="events")
    assert (answer.status, answer.text.strip()) == (200, str(OURS))


def test_rows_of_others_are_never_evaluated(ask):
    """A condition that fails on another project's rows does not fail: it is never run on them."""
    for clause in ("PREWHERE", "WHERE"):
        answer = ask(f"SELECT count() FROM events {clause} throwIf(user_id = '{SECRET}') = 0")
        assert (answer.status, answer.text.strip()) == (200, str(OURS))


@pytest.fixture(scope="module")
def neighbours(store):
    """Return a project with three rows, and what adds rows to another one in the same bucket."""
    mine = f"mine-{uuid4().hex}"
    names = (f"{mine}-{n}" for n in range(10_000))
    other = next(name for name in names if find_bucket(name) == find_bucket(mine))
    client = store.client()

    def add(project, count):
        client.command(
            f"INSERT INTO {EVENTS_TABLE} (project, event_id, event_name, client_time, received_at, user_id) "
            f"SELECT {{project:String}}, toString(number), 'clicked', '2026-02-03', '2026-02-03', 'u' FROM numbers({count})",
            {"project": project},
        )
        # Of all rows of the week one part is made, where both projects share a granule.
        client.command(f"OPTIMIZE TABLE {EVENTS_TABLE} FINAL")

    add(mine, OURS)
    return mine, lambda: add(other, 3000)


# Formats that end with figures of the question itself.
TELLING_FORMATS = ["JSON", "JSONCompact", "JSONStrings", "JSONColumnsWithMetadata", "XML", "TabSeparated"]


def test_no_figure_counts_rows_of_others(store, neighbours):
    """Whatever a visitor is told of what was read, thousands of rows of a project in the same granule change none of it."""
    mine, add_rows = neighbours

    def ask_all():
        found = []
        for fmt in TELLING_FORMATS:
            sql = (
                f"SELECT sum(cityHash64(user_id)) AS s FROM events WHERE event_name = 'clicked' FORMAT {fmt}"
            )
            wanted = {"wait_end_of_query": 1, "output_format_write_statistics": 1}
            answer = store.ask(sql, project=mine, **wanted)
            assert answer.status == 200, answer.text
            summary = json.loads(answer.headers["X-ClickHouse-Summary"])
            found.append((answer.text, {**summary, "elapsed_ns": ""}))
        return found

    before = ask_all()
    add_rows()
    # The engine did read more, and our own processes may know.
    told = store.client().query_rows(f"SELECT uniq(user_id) FROM {EVENTS_TABLE} WHERE project = '{mine}'")
    assert told.statistics.read_rows > OURS
    assert ask_all() == before


@pytest.mark.parametrize("name", ["max_rows_to_read", "max_bytes_to_read"])
def test_no_limit_tells_how_many_rows_others_have(store, neighbours, name):
    """A limit that would be met by others' rows, and so count them, cannot be given; what is over the fixed one is not counted."""
    answer = store.ask("SELECT uniq(user_id) FROM events", project=neighbours[0], **{name: 100})
    assert_refused(answer, 452)
    answer = store.ask("SELECT count() FROM numbers_mt(900000000)", project=neighbours[0])
    assert_refused(answer, 158)
    assert "The query would read more than is allowed" in answer.text
    assert "current" not in answer.text


@pytest.mark.parametrize("fmt", ["JSONEachRowWithProgress", "JSONStringsEachRowWithProgress"])
def test_no_format_tells_progress(ask, fmt):
    """Formats with lines about the rows read so far are refused."""
    assert_refused(ask(f"SELECT user_id FROM events FORMAT {fmt}"), 73)


@pytest.mark.parametrize("project", ["*", "'", "a' OR 1 --", "%", "\\", "default", "no-such-project", "日本"])
def test_a_projects_name_is_only_a_name(store, projects, project):
    """A project's name with a meaning elsewhere sees nothing of other projects."""
    headers = {"X-Tallymark-Project": project.encode().decode("latin-1")}
    answer = store.ask("SELECT count() FROM events", project="x", headers=headers)
    assert (answer.status, answer.text.strip()) == (200, "0")


def test_no_scope_no_rows(store, projects):
    """A visitor without a project is turned away, and so is a project's header on the internal user."""
    login = {"X-ClickHouse-User": "public"}
    assert store.ask("SELECT 1", headers=login).status == 403
    assert store.ask("SELECT 1", headers={"X-Tallymark-Project": "x"}).status == 403


def read_names(store, sql):
    return [row[0] for row in store.client().query_rows(sql).rows]


# What a visitor reads under these names is made of constants.
HARMLESS_TABLES = {
    *("system.one", "system.numbers", "system.settings", "system.functions", "system.formats"),
    # What the engine is made of, the same in every installation.
    *("system.data_type_families", "system.table_engines", "system.table_functions", "system.keywords"),
    "system.aggregate_function_combinators",
}
HARMLESS_TABLE_FUNCTIONS = {
    *("numbers", "numbers_mt", "zeros", "zeros_mt", "generateSeries", "generate_series"),
    # They take their rows from the statement itself.
    *("format", "values", "SQLStandardValues"),
}


def test_every_table_of_the_engine(store, projects, ask):
    """Of all tables that the engine has, a visitor reads the event table and ten that tell nothing.

    Some more are told by constants: their own rows, which name everybody's tables, cannot be had in any way.
    """
    tables = store.client().query_rows("SELECT database, name FROM system.tables").rows
    assert len(tables) > 100
    ours = {column.name for column in EVENT_COLUMNS} | {"tallymark", "events"}
    others = {name for pair in tables for name in pair} - ours
    for database, name in tables:
        full = f"{database}.{name}"
        if full in HARMLESS_TABLES | {EVENTS_TABLE}:
            continue
        for sql in (
            f"SELECT * FROM `{database}`.`{name}`",
            f"SELECT count() FROM (SELECT 1 FROM {full} LIMIT 1)",
            f"WITH x AS (SELECT * FROM {full}) SELECT * FROM x",
            f"SELECT 1 IN {full}",
            f"DESCRIBE TABLE {full}",
        ):
            answer = ask(sql)
            if full.lower() in ANSWERED_TABLES and answer.status == 200:
                fields = {field for line in answer.text.splitlines() for field in line.split("\t")}
                assert "tallymark" in fields or fields == {"1"}
                assert not fields & others
                continue
            assert_refused(answer, 497)
        assert_refused(
            ask("SELECT * FROM {d:Identifier}.{t:Identifier}", param_d=database, param_t=name), 497
        )


def test_harmless_tables_tell_no_secret(store, projects, ask):
    """The ten tables of the engine that a visitor may read hold neither other projects' names nor paths."""
    for full in HARMLESS_TABLES - {"system.numbers"}:
        answer = ask(f"SELECT * FROM {full}")
        assert answer.status == 200
        assert projects[1] not in answer.text
        assert SECRET not in answer.text
        assert str(store.data_dir) not in answer.text


def test_every_table_function_of_the_engine(store, projects, ask):
    """Of all table functions that the engine has, a visitor may call those that make up rows of their own."""
    names = read_names(store, "SELECT name FROM system.table_functions")
    assert len(names) > 50
    for name in set(names) - HARMLESS_TABLE_FUNCTIONS:
        for arguments in (
            "",
            "'tallymark', 'events'",
            "'tallymark', '.*'",
            "'/etc/passwd'",
            "(SELECT 1)",
            "'x', 'y', 'z'",
        ):
            assert_refused(ask(f"SELECT * FROM {name}({arguments})"), 497, 62)
        assert_refused(ask(f"DESCRIBE TABLE {name}('tallymark', 'events')"), 497, 62)


def test_the_role_alone_refuses_sources(store, projects):
    """Without the gate, the engine's own rights still keep a visitor from files, hosts, other tables and writing."""
    # The gate is asked with a statement that it lets pass; the rights are what the engine answers on.
    for sql, code in (("SELECT * FROM secrets", 497), ("SELECT * FROM migrations", 497)):
        assert_refused(store.ask(sql, project=projects[0]), code)


DANGEROUS_FUNCTIONS = (
    "file", "sleep", "sleepEachRow", "getSetting", "getSettingOrDefault", "getServerSetting", "getMacro", "hostName",
    "FQDN", "fullHostName", "hostname", "tcpPort", "getServerPort", "serverUUID", "filesystemAvailable", "uptime",
    "joinGet", "dictGet", "dictHas", "hasColumnInTable", "addressToLine", "logTrace", "showCertificate",
    "getClientHTTPHeader", "getOSKernelVersion", "zookeeperSessionUptime", "aiGenerate", "AIGenerate", "evalMLMethod",
    "currentRoles", "enabledRoles", "currentProfiles", "initialQueryID", "queryID", "connectionId", "buildId",
    "getMergeTreeSetting", "globalVariable", "regionToName", "naiveBayesClassifier", "mergeTreePartInfo", "flameGraph",
    "__getScalar", "timeSeriesStoreTags", "catboostEvaluate", "currentSchemas", "tid", "generateSerialID", "eval",
)  # fmt: skip


@pytest.mark.parametrize("name", DANGEROUS_FUNCTIONS)
def test_functions_that_look_around_are_refused(ask, name):
    """A function that reads files, settings, the machine, dictionaries or waits cannot be called, however written."""
    for sql in (
        f"SELECT {name}('x')",
        f"SELECT `{name}`('x', 'y', 'z')",
        f"SELECT count() FROM events WHERE {name}(user_id) = ''",
        f"SELECT arrayMap(x -> {name}(x), ['a'])",
        f"SELECT * REPLACE ({name}('x') AS value) FROM events",
        f"WITH {name}('x') AS y SELECT y",
        f"SELECT 1 ORDER BY {name}('x')",
        f"SELECT sum(1) OVER (PARTITION BY {name}('x'))",
        f"SELECT 1 LIMIT {name}('x')",
        f"SELECT * APPLY ({name}) FROM events",
        f"SELECT * FROM numbers({name}('x'))",
        f"DESCRIBE (SELECT {name}('x'))",
    ):
        assert_refused(ask(sql), 497)


def test_every_function_is_judged(store, ask):
    """Every function of the engine is either refused or of a listed kind; none of the refused gets through in capitals."""
    refused = 0
    for name in read_names(store, "SELECT name FROM system.functions WHERE is_aggregate = 0"):
        answer = ask(f"SELECT `{name}`()")
        if b"may not be used here" in answer.body:
            refused += 1
            assert_refused(ask(f"SELECT `{name.upper()}`()"), 497)
    assert refused > 150


@pytest.mark.parametrize(
    "sql",
    [
        f"INSERT INTO {EVENTS_TABLE} (event_id) VALUES ('x')",
        f"INSERT INTO {EVENTS_TABLE} (event_id) SELECT 'x'",
        "INSERT INTO FUNCTION file('/tmp/x.csv') SELECT 1",
        "CREATE TABLE t (a Int8) ENGINE = Memory",
        "CREATE TEMPORARY TABLE t (a Int8)",
        "CREATE VIEW v AS SELECT * FROM events",
        "CREATE FUNCTION f AS x -> x",
        "CREATE USER u",
        "CREATE DICTIONARY d (a Int8) PRIMARY KEY a",
        f"ALTER TABLE {EVENTS_TABLE} DELETE WHERE 1",
        f"ALTER TABLE {EVENTS_TABLE} ATTACH PARTITION ALL FROM {EVENTS_TABLE}",
        f"DELETE FROM {EVENTS_TABLE} WHERE 1",
        f"DROP TABLE {EVENTS_TABLE}",
        f"TRUNCATE TABLE {EVENTS_TABLE}",
        f"OPTIMIZE TABLE {EVENTS_TABLE}",
        f"RENAME TABLE {EVENTS_TABLE} TO tallymark.x",
        "SET readonly = 0",
        "SET log_comment = '*'",
        "SET ROLE internal",
        "SET ROLE ALL",
        "SET DEFAULT ROLE internal TO default",
        "USE system",
        "KILL QUERY WHERE 1",
        "SYSTEM FLUSH LOGS",
        "SYSTEM SHUTDOWN",
        "BACKUP TABLE events TO File('/tmp/x')",
        "SELECT 1 INTO OUTFILE '/tmp/x.tsv'",
        "GRANT ALL ON *.* TO default",
        "EXECUTE AS default SELECT 1",
        "BEGIN TRANSACTION",
        "EXCHANGE TABLES events AND secrets",
        "DETACH TABLE events",
    ],
)
def test_nothing_but_reading(ask, store, projects, sql):
    """Whatever writes, changes the connection or reaches beyond a query is refused."""
    assert_refused(ask(sql), 164, 497)
    assert store.client().query_rows(f"SELECT count() >= {OURS + THEIRS} FROM {EVENTS_TABLE}").rows == [
        (True,)
    ]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count() FROM events SETTINGS log_comment = '*'",
        "SELECT count() FROM (SELECT * FROM events SETTINGS log_comment = '*')",
        "SELECT count() FROM events SETTINGS max_threads = 1",
        "SELECT count() FROM events FORMAT TSV SETTINGS log_comment = '*'",
        "SELECT count() FROM events SETTINGS readonly = 0 FORMAT TSV",
        "SELECT 1; SELECT 2",
        "SELECT count() FROM events; SET ROLE internal",
        "SELECT 1; SELECT 2 x y FORMAT TSV",
        "SELECT 1 FORMAT TSV; SELECT 2 x y",
        "SELECT 1 FORMAT TSV; SET ROLE internal FORMAT CSV",
        "SELECT 1; FORMAT TSV",
        "EXPLAIN SELECT * FROM events",
        "EXPLAIN ESTIMATE SELECT * FROM events",
        "EXPLAIN indexes = 1 SELECT * FROM events",
        "EXPLAIN TABLE OVERRIDE mysql('') PARTITION BY 1",
        "SHOW CREATE TABLE events",
        "SHOW MERGES",
        "SHOW PROCESSLIST",
        "SHOW GRANTS",
        "SHOW ACCESS",
        "SHOW SETTINGS LIKE '%'",
        "SHOW CLUSTERS",
        "SHOW TABLES FROM system",
        "SHOW INDEXES FROM events",
        "SHOW FUNCTIONS",
        "CHECK TABLE events",
        "SELECT * FROM view(SELECT * FROM system.parts)",
        "SELECT * FROM viewExplain('EXPLAIN', '', (SELECT * FROM events))",
        "SELECT * FROM merge(REGEXP('.*'), 'events')",
        "SELECT * FROM merge('events')",
        "SELECT * FROM remote('127.0.0.1', tallymark.events)",
        "SELECT * FROM remote('127.0.0.1', view(SELECT * FROM events))",
        "SELECT * FROM cluster('default', tallymark.events)",
        "SELECT * FROM python('x')",
        "SELECT * FROM default.`/etc/passwd`",
        "SELECT * FROM `/etc/passwd`",
        "SELECT * FROM 'file:///etc/passwd'",
        "SELECT * FROM secrets",
        "SELECT * FROM tallymark.secrets",
        "SELECT 1 IN secrets",
        "SELECT 1 IN system.parts",
        "WITH system.parts AS x SELECT 1 IN x",
        "WITH `system.parts` AS (SELECT 1) SELECT * FROM system.parts",
        "SELECT * FROM `system`.`parts`",
        'SELECT * FROM "system"."parts"',
        "SELECT * FROM system . parts",
        "SELECT * FROM /* x */ system /* y */ . parts",
        "SELECT * FROM events, system.parts",
        "SELECT * FROM events LEFT JOIN system.processes ON 1",
        "SELECT (SELECT any(query) FROM system.processes)",
        "SELECT * FROM `x\nTableIdentifier events`",
        "SELECT `a\n  Function plus (children 1)`, * FROM system.parts",
        "graph = 1 SELECT 1",
        "AST SELECT 1",
    ],
)
def test_ways_around(ask, sql):
    """None of the known ways to other tables, other statements or other settings leads anywhere."""
    assert_refused(ask(sql), 36, 46, 47, 60, 62, 73, 164, 497)


def test_virtual_columns_are_refused(store, projects, ask):
    """The engine's hidden columns, which tell of parts and blocks of all projects, cannot be read; the list is whole."""
    described = store.client().query_rows(
        f"DESCRIBE TABLE {EVENTS_TABLE}", settings={"describe_include_virtual_columns": 1}
    )
    virtual = {row[0] for row in described.rows if row[-1]}
    assert virtual
    assert virtual <= VIRTUAL_COLUMNS
    for name in virtual:
        assert_refused(ask(f"SELECT {name} FROM events"), 497)
        assert_refused(ask(f"SELECT e.{name} FROM events AS e"), 497)
        assert_refused(ask(f"SELECT 1 FROM events WHERE `{name}` != 0"), 497)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("log_comment", "*", 452),
        ("readonly", "0", 452),
        ("allow_ddl", "1", 452),
        ("additional_table_filters", "{}", 452),
        ("format_schema", "/etc/passwd", 452),
        ("output_format_schema", "somewhere", 452),
        ("max_execution_time", "86400", 452),
        ("max_execution_time", "0", 452),
        ("max_memory_usage", "0", 452),
        ("max_result_rows", "1e12", 452),
        ("database", "system", 81),
        ("role", "internal", 48),
        ("no_such_setting", "1", 115),
        ("param", "1", 115),
    ],
)
def test_settings_of_visitors(ask, name, value, code):
    """A visitor's settings are limits up to their maxima and the answer's form; everything else is refused by name."""
    answer = ask("SELECT 1", **{name: value})
    assert_refused(answer, code)
    assert name in answer.text or value in answer.text or code == 48


def test_a_visitors_session_is_only_a_name(ask):
    """Tools name a session without being asked: it is taken, nothing lasts in it, and none can be asked for."""
    hour = "SELECT formatDateTime(toDateTime(0), '%H')"
    assert ask(hour, session_id="x", session_timezone="Asia/Tokyo").text == "09\n"
    assert ask(hour, session_id="x").text == "00\n"
    assert_refused(ask("SELECT 1", session_id="x", session_check="1"), 372)


@pytest.mark.parametrize("fmt", ["Template", "CapnProto", "Protobuf", "SQLInsert", "no", "Regexp"])
def test_formats_of_visitors(ask, fmt):
    """A format that reads a schema from a file, or is unknown, is refused."""
    assert_refused(ask(f"SELECT 1 FORMAT {fmt}"), 73)
    assert_refused(ask("SELECT 1", default_format=fmt), 73)


@pytest.mark.parametrize(
    "fmt", ["JSON", "JSONEachRow", "JSONCompact", "CSVWithNames", "TSV", "Parquet", "ArrowStream"]
)
def test_tools_get_their_formats(ask, fmt):
    """The formats that tools ask for are given, from the clause and from the URL."""
    for answer in (
        ask(f"SELECT count() AS n FROM events FORMAT {fmt};"),
        ask("SELECT 1 AS n", default_format=fmt),
    ):
        assert answer.status == 200, answer.text
        assert answer.headers["X-ClickHouse-Format"] == fmt


def test_the_official_client_works(store, projects):
    """clickhouse-connect starts, binds parameters, describes and reads as a visitor, and can write nothing."""
    visitor = store.visitor(projects[0])
    answer = visitor.query_rows("SELECT count() AS n FROM events WHERE user_id = {u:String}", {"u": "u"})
    assert (answer.columns, answer.rows) == (("n",), [(OURS,)])
    described = visitor.query_rows("DESCRIBE TABLE events")
    assert described.rows[0][0] == "project"
    assert visitor.query_rows("SHOW TABLES").rows == [("events",)]
    with pytest.raises(StoreError) as refused:
        visitor.command("INSERT INTO events (event_id) VALUES ('x')")
    assert refused.value.number == 164
    with pytest.raises(StoreError, match="readonly"):
        visitor.insert_ndjson(EVENTS_TABLE, b'{"event_id": "x"}\n', token="x")


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT count() FROM numbers(1000000000000)", 158),
        ("SELECT groupArray(toString(number)) FROM numbers(190000000)", 241),
        ("SELECT number FROM numbers(2000000)", 396),
    ],
)
def test_expensive_questions_end_with_their_reason(ask, sql, code):
    """A question past its limits ends with 422 and the limit's name; the next one is answered."""
    answer = ask(sql, wait_end_of_query=1)
    assert (answer.status, int(answer.headers["X-ClickHouse-Exception-Code"])) == (422, code), answer.text
    assert ask("SELECT 1").text == "1\n"


@pytest.mark.parametrize(
    "second", ["SELECT toUInt8(fqdn())", "SELECT throwIf(1, concat('it', ' ran'))", "SELECT sleep(3)"]
)
@pytest.mark.parametrize("third", ["SELECT 2 FRM x y", "garbage", "SELECT ("])
def test_no_statement_runs_behind_another_one(ask, second, third):
    """Several statements are refused before any of them runs, also where the last one cannot be parsed."""
    answer = ask(f"SELECT 1; {second}; {third}")
    assert_refused(answer, 62)
    assert "it ran" not in answer.text
    assert "Cannot parse string" not in answer.text
