"""What tools read when they look around: one database, one table and its columns, however they ask."""

from __future__ import annotations

import json
import re

import pytest

from tallymark.store.schema import EVENT_COLUMNS, EVENTS_TABLE, SORTING_KEY
from tallymark.store.system_tables import ANSWERED_TABLES

pytestmark = pytest.mark.store

NAMES = [column.name for column in EVENT_COLUMNS]


@pytest.fixture
def ask(store):
    """Return a function that asks as a visitor and gives rows as lists."""

    def run(sql, **parameters):
        answer = store.ask(sql, project="told", default_format="JSONCompactEachRow", **parameters)
        assert answer.status == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]

    return run


@pytest.mark.parametrize("name", sorted(ANSWERED_TABLES))
def test_every_column_of_the_engine_is_there(store, ask, name):
    """The lists have the columns of the engine's own tables, in their order and with their types."""
    described = store.client().query_rows(f"DESCRIBE TABLE {name}").rows
    names, kinds = ask(f"SELECT * FROM {name} LIMIT 0 FORMAT JSONCompactEachRowWithNamesAndTypes")
    assert list(zip(names, kinds, strict=True)) == [
        (column, re.sub(r"\s*\n\s*", " ", kind).replace("( ", "(")) for column, kind, *_ in described
    ]
    assert ask(f"SELECT count() FROM {name}") == [[len(NAMES) if name.endswith("columns") else 1]]


def test_what_is_told_is_true(store, ask):
    """Types, order and sorting key are those that the engine has of the table."""
    client = store.client()
    real = client.query_rows(
        "SELECT name, type, position, is_in_sorting_key FROM system.columns "
        "WHERE database = 'tallymark' AND table = 'events' ORDER BY position"
    ).rows
    assert ask("SELECT name, type, position, is_in_sorting_key FROM system.columns ORDER BY position") == [list(row) for row in real]  # fmt: skip
    assert client.query_rows(
        "SELECT sorting_key FROM system.tables WHERE database = 'tallymark' AND name = 'events'"
    ).rows == [(SORTING_KEY,)]
    assert ask("SELECT sorting_key, engine, total_rows FROM system.tables") == [
        [SORTING_KEY, "MergeTree", None]
    ]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT name FROM system.tables",
        "SELECT t.name FROM system.tables t",
        "SELECT t.name FROM system.tables AS t FORMAT JSONCompactEachRow",
        "SELECT tables.name FROM system.tables",
        "SELECT system.tables.name FROM system.tables",
        "SELECT system.tables.name FROM system.tables t",
        'SELECT "name" FROM "system"."tables"',
        "SELECT name FROM `system` . `tables` WHERE database = currentDatabase()",
        "SELECT name FROM system.tables WHERE database = {d:String}",
        "SELECT name FROM /* x */ system.tables -- y",
        "SELECT name FROM system.tables LIMIT 1 OFFSET 0",
        "SELECT name FROM system.tables ORDER BY name FORMAT JSONCompactEachRow",
        "SELECT DISTINCT name FROM system.tables GROUP BY ALL HAVING 1 QUALIFY 1 LIMIT 1",
        "SELECT name FROM system.tables ARRAY JOIN [1] AS x",
        "SELECT a.name FROM system.tables a CROSS JOIN system.databases b",
        "SELECT a.name FROM system.tables a ANY LEFT JOIN system.databases b ON a.database = b.name",
        "SELECT tables.name FROM system.tables JOIN system.databases ON tables.database = databases.name",
        "SELECT name FROM (SELECT * FROM system.tables)",
        "WITH x AS (SELECT * FROM system.tables) SELECT name FROM x",
        "SELECT name FROM system.tables INTERSECT SELECT 'events'",
        "SELECT (SELECT name FROM system.tables)",
        "SELECT 'events' WHERE 'events' IN (SELECT name FROM system.tables)",
        "FROM system.tables SELECT name",
        "SELECT name FROM system.tables WINDOW w AS (ORDER BY name)",
        "SELECT table_name FROM information_schema.tables",
        "SELECT TABLE_NAME FROM INFORMATION_SCHEMA.TABLES",
        "SELECT DISTINCT table FROM system.columns",
        "SHOW TABLES",
        "SHOW TABLES FROM tallymark",
        "SHOW TABLES FROM `tallymark`",
        'SHOW TABLES IN "tallymark" LIKE \'%vent_\'',
        "SHOW TABLES ILIKE 'EVENTS' LIMIT 5",
        "SHOW TABLES NOT LIKE 'x'",
        "show /* x */ tables;",
    ],
)  # fmt: skip
def test_the_table_is_found_however_it_is_asked_for(ask, sql):
    """Under any alias, in any clause, quoted or not, the one table is there."""
    assert ask(sql, param_d="tallymark") == [["events"]]


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SHOW DATABASES", [["tallymark"]]),
        ("SHOW DATABASES LIKE 'sys%'", []),
        ("SELECT name, engine FROM system.databases", [["tallymark", "Atomic"]]),
        ("SELECT schema_name FROM information_schema.schemata", [["tallymark"]]),
        ("SHOW TABLES LIKE 'secret%'", []),
        ("SHOW FULL TABLES", [["events", "MergeTree"]]),
        ("EXISTS TABLE events", [[1]]),
        ("EXISTS events", [[1]]),
        ("EXISTS TABLE `tallymark`.`events`", [[1]]),
        ("exists /* x */ table tallymark . events;", [[1]]),
        ("EXISTS TABLE nothing", [[0]]),
        ("EXISTS TABLE tallymark.secrets", [[0]]),
        ("EXISTS TABLE tallymark.migrations", [[0]]),
        ("EXISTS TABLE system.parts", [[0]]),
        ("EXISTS TABLE `x FORMAT JSON`", [[0]]),
        ("EXISTS VIEW events", [[0]]),
        ("EXISTS DICTIONARY events", [[0]]),
        ("EXISTS TEMPORARY TABLE events", [[0]]),
        ("EXISTS DATABASE tallymark", [[1]]),
        ("EXISTS DATABASE system", [[0]]),
        ("EXISTS DATABASE other", [[0]]),
    ],
)
def test_show_and_exists(ask, sql, rows):
    """SHOW lists what there is to read, and EXISTS knows nothing else, not even that it is hidden."""
    assert ask(sql) == rows


def test_columns_are_shown(ask):
    """SHOW COLUMNS lists the columns, with LIKE and LIMIT."""
    assert sorted(row[0] for row in ask("SHOW COLUMNS FROM events")) == sorted(NAMES)
    (row,) = ask("SHOW FULL COLUMNS FROM events FROM tallymark LIKE 'val%'")
    assert row[:4] == ["value", "Nullable(Float64)", "YES", ""]
    assert len(ask("SHOW FIELDS IN events LIMIT 2")) == 2


@pytest.mark.parametrize(
    "sql",
    [
        "SHOW TABLES FROM system",
        "SHOW TABLES FROM {d:Identifier}",
        "SHOW TABLES WHERE name = 'x'",
        "SHOW TEMPORARY TABLES",
        "SHOW DICTIONARIES",
        "SHOW CHANGED SETTINGS",
        "SHOW COLUMNS FROM migrations",
        "SHOW COLUMNS FROM parts FROM system",
        "SHOW CREATE TABLE events",
        "SHOW CREATE DATABASE tallymark",
        "EXISTS TABLE {d:Identifier}.{d:Identifier}",
        "SELECT * FROM {d:Identifier}.tables",
        "SELECT 1 IN system.tables",
        "SELECT system.parts.name FROM system.tables",
        "SELECT system.tables.name FROM system.tables, system.parts",
        "SELECT * FROM system.tables FINAL",
        "SELECT * FROM information_schema.views",
        "SELECT * FROM information_schema.statistics",
        "DESCRIBE TABLE system.tables",
    ],
)
def test_what_is_not_told_is_refused(store, sql):
    """What is not understood here, or asks for more, is refused and never reaches the engine's own lists."""
    answer = store.ask(sql, project="told", param_d="system")
    if answer.status == 200:
        assert answer.text == "0\n"
        assert sql.startswith("EXISTS")
    else:
        assert answer.headers["X-ClickHouse-Exception-Code"] in {"1", "47", "48", "60", "62", "181", "497"}, (
            answer.text
        )
    for hidden in ("migrations", "probe", "/store/"):
        assert hidden not in answer.text.replace(sql, "").replace("Table migrations does not exist", "")


# As the JDBC driver of ClickHouse (Metabase, DBeaver, IntelliJ) builds them, written down from its source.
JDBC = {
    "schemas": ("SELECT name AS TABLE_SCHEM, '' AS TABLE_CATALOG FROM system.databases ORDER BY name", [["tallymark", ""]]),
    "tables, older": (
        ("SELECT '' AS TABLE_CAT, t.database AS TABLE_SCHEM, t.name AS TABLE_NAME, CASE WHEN t.engine LIKE '%Log' THEN 'LOG TABLE' "
        "WHEN t.is_temporary != 0 THEN 'TEMPORARY TABLE' WHEN t.engine like '%View' THEN 'VIEW' "
        "WHEN empty(t.data_paths) THEN 'REMOTE TABLE' ELSE 'TABLE' END AS TABLE_TYPE, t.comment AS REMARKS, "
        "null::Nullable(String) AS TYPE_CAT, d.engine AS TYPE_SCHEM FROM system.tables t"
        " JOIN system.databases d ON system.tables.database = system.databases.name"
        " WHERE t.database LIKE '%' AND t.name LIKE '%' AND TABLE_TYPE IN ('TABLE','VIEW')"),
        [["", "tallymark", "events", "TABLE", "", None, "Atomic"]],
    ),
    "tables": (
        ("SELECT '' AS TABLE_CAT, t.database AS TABLE_SCHEM, t.name AS TABLE_NAME, "
        "if(t.is_temporary = 1, concat('Temporary', t.engine), t.engine) AS TABLE_TYPE, d.engine AS TYPE_SCHEM"
        " FROM system.tables t JOIN system.databases d ON system.tables.database = system.databases.name"
        " WHERE t.database LIKE 'tallymark' AND t.name LIKE '%' AND ( (t.engine IN ('MergeTree','Null')) OR"
        " (t.engine NOT IN ('Log') AND NOT t.engine LIKE 'System%' AND t.is_temporary = 0)) AND (t.is_temporary = 0)"),
        [["", "tallymark", "events", "MergeTree", "Atomic"]],
    ),
    "columns": (
        ("SELECT name AS COLUMN_NAME, type AS TYPE_NAME, toInt32(multiIf(character_octet_length IS NOT NULL, character_octet_length, "
        "system.columns.type == 'Int8', 1, numeric_precision IS NOT NULL, numeric_precision, 0)) AS COLUMN_SIZE, "
        "toInt32(IF (numeric_scale == 0, NULL, numeric_scale)) as DECIMAL_DIGITS, "
        "toInt32(position(type, 'Nullable(') >= 1 ?1 : 0) as NULLABLE, system.columns.comment AS REMARKS, "
        "system.columns.default_expression AS COLUMN_DEF, toInt32(system.columns.position) AS ORDINAL_POSITION, "
        "position(upper(type), 'NULLABLE') >= 1 ? 'YES' : 'NO' AS IS_NULLABLE FROM system.columns"
        " WHERE database LIKE 'tallymark' AND table LIKE 'events' AND name LIKE 'value' ORDER BY ORDINAL_POSITION"),
        [["value", "Nullable(Float64)", 0, None, 1, "", "", NAMES.index("value") + 1, "YES"]],
    ),
    "primary keys": (
        ("SELECT system.tables.database AS TABLE_SCHEM, system.tables.name AS TABLE_NAME, trim(c.1) AS COLUMN_NAME, "
        "CAST(c.2 AS Int16) AS KEY_SEQ FROM system.tables "
        "ARRAY JOIN arrayZip(splitByChar(',', primary_key), arrayEnumerate(splitByChar(',', primary_key))) as c "
        "WHERE system.tables.primary_key <> '' AND system.tables.database ILIKE '%' ORDER BY KEY_SEQ"),
        [["tallymark", "events", name, place] for place, name in enumerate(SORTING_KEY.split(", "), 1)],
    ),
    "types": ("SELECT name, case_insensitive, alias_to FROM system.data_type_families WHERE name = 'Int8'", [["Int8", 0, ""]]),
    "engines": ("SELECT name FROM system.table_engines WHERE name = 'MergeTree'", [["MergeTree"]]),
    "no rows": ("SELECT CAST(NULL as Nullable(String)) AS TABLE_CAT LIMIT 0", []),
}  # fmt: skip


@pytest.mark.parametrize("name", JDBC)
def test_what_jdbc_asks(ask, name):
    """The statements of JDBC's metadata are answered with the one table."""
    sql, rows = JDBC[name]
    assert ask(sql) == rows


def test_words_that_editors_offer(ask):
    """What ClickHouse's own client reads to complete words is there, as far as it tells nothing of the machine."""
    sql = (
        "SELECT DISTINCT arrayJoin(extractAll(name, '[\\\\w_]{2,}')) AS res FROM (SELECT name FROM system.functions"
        " UNION ALL SELECT name FROM system.table_engines UNION ALL SELECT name FROM system.formats"
        " UNION ALL SELECT name FROM system.table_functions UNION ALL SELECT name FROM system.data_type_families"
        " UNION ALL SELECT name FROM system.settings UNION ALL SELECT keyword FROM system.keywords"
        " UNION ALL SELECT concat(func.name, comb.name) FROM system.functions AS func"
        " CROSS JOIN system.aggregate_function_combinators AS comb WHERE is_aggregate"
        " UNION ALL SELECT name FROM system.databases LIMIT 10000 UNION ALL SELECT DISTINCT name FROM system.tables LIMIT 10000"
        " UNION ALL SELECT DISTINCT name FROM system.columns LIMIT 10000) WHERE notEmpty(res)"
    )
    words = {row[0] for row in ask(sql)}
    assert {"tallymark", "events", "event_name", "MergeTree", "countIf", "Int8", "SELECT"} <= words


def test_settings_are_told_under_an_alias(ask):
    """Which settings may be given is told however `system.settings` is named."""
    rows = ask("SELECT s.name, s.readonly FROM system.settings AS s WHERE system.settings.name IN ('max_threads', 'readonly') ORDER BY 1")  # fmt: skip
    assert rows == [["max_threads", 0], ["readonly", 1]]


def test_a_column_of_a_lists_name_is_a_column(ask):
    """A statement that only uses such names as columns and aliases is left as it is."""
    assert ask("SELECT 1 AS tables, 2 AS columns, 3 AS settings ORDER BY tables") == [[1, 2, 3]]
    assert ask(f"SELECT count() FROM {EVENTS_TABLE} AS tables WHERE tables.project = 'x'") == [[0]]
