"""Statements are told apart by their words alone, never by what stands in quotes and comments."""

from __future__ import annotations

import pytest

from tallymark.store.statements import is_select, parse_insert, parse_kill, parse_words, strip_semicolons


@pytest.mark.parametrize(
    ("sql", "target", "fmt", "data"),
    [
        ("INSERT INTO t FORMAT TSV\n1\ta\n", "INTO t", "TSV", "1\ta\n"),
        ("insert into t (a, b) format CSV 1,2", "into t (a, b)", "CSV", "1,2"),
        ("INSERT INTO t FORMAT TSV\n\n1", "INTO t", "TSV", "\n1"),
        ("INSERT INTO t VALUES (1)", "INTO t", "Values", " (1)"),
        ("INSERT INTO `my FORMAT x` FORMAT TSV\n1", "INTO `my FORMAT x`", "TSV", "1"),
        (
            "-- FORMAT a\nINSERT /* VALUES */ INTO t (`select`) FORMAT TSV\r\n1",
            "/* VALUES */ INTO t (`select`)",
            "TSV",
            "1",
        ),
        (
            "INSERT INTO t SETTINGS a = 'FORMAT b' FORMAT TSV;\n1",
            "INTO t SETTINGS a = 'FORMAT b'",
            "TSV",
            "1",
        ),
        ("INSERT INTO t (* EXCEPT(a)) FORMAT Native\nx", "INTO t (* EXCEPT(a))", "Native", "x"),
        ("INSERT INTO {t:Identifier} FORMAT TSV\n1", "INTO {t:Identifier}", "TSV", "1"),
    ],
)
def test_inserts_with_data(sql, target, fmt, data):
    """An INSERT's target, format and the begin of its data are found, whatever names and comments hold."""
    head = parse_insert(sql)
    assert (head.target, head.format, sql[head.end :]) == (target, fmt, data)


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "SELECT 1 FORMAT TSV",
        "INSERT INTO t SELECT 1 FORMAT TSV",
        "INSERT INTO t WITH x AS (SELECT 1) SELECT * FROM x",
        "INSERT INTO t FROM INFILE 'x' FORMAT TSV",
        "INSERT INTO t",
        "INSERT INTO t FORMAT",
        "'INSERT' INTO t FORMAT TSV",
        "EXPLAIN INSERT INTO t FORMAT TSV",
    ],
)
def test_statements_without_data(sql):
    """Whatever brings its own rows, or is no INSERT, takes no data."""
    assert parse_insert(sql) is None


@pytest.mark.parametrize(
    ("sql", "query_id"),
    [
        ("KILL QUERY WHERE query_id = 'a'", "a"),
        ("kill query where query_id='a\\'b' SYNC;", "a'b"),
        ("KILL QUERY WHERE query_id = 'a' ASYNC FORMAT TSV", "a"),
        ("KILL QUERY WHERE query_id = 'a' OR 1", None),
        ("KILL QUERY WHERE user = 'a'", None),
        ("SELECT 'KILL QUERY WHERE query_id = 1'", None),
        ("/* x */ KILL QUERY -- y\nWHERE `query_id` = 'a''b\\x41\\n'", "a'bA\n"),
        ("KILL QUERY WHERE query_id = 'a' TEST", None),
        ("KILL QUERY WHERE query_id = 'a' AND 1", None),
        ("KILL QUERY WHERE 'query_id' = a", None),
    ],
)
def test_kill(sql, query_id):
    """The one form of KILL that the server answers itself is told from all others."""
    assert parse_kill(sql) == query_id


def test_words():
    """Words come in upper case without comments and closing semicolons."""
    assert parse_words("show /* x */ tables -- y\n;") == ("SHOW", "TABLES")


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1", True),
        (" /* x */ ((select 1))", True),
        ("WITH 1 AS x SELECT x", True),
        ("FROM t SELECT 1", True),
        ("DESCRIBE (SELECT 1)", False),
        ("SHOW TABLES", False),
        ("`SELECT`", False),
        ("", False),
    ],
)
def test_selects(sql, expected):
    """A SELECT is told from what else only reads by its first word."""
    assert is_select(sql) is expected


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("SELECT 1", "SELECT 1"),
        ("SELECT 1 ;\n ;", "SELECT 1"),
        ("SELECT 1; -- x;", "SELECT 1"),
        ("SELECT ';' -- ;", "SELECT ';' -- ;"),
        ("SELECT $$;$$", "SELECT $$;$$"),
        ("SELECT 1; SELECT 2;", "SELECT 1; SELECT 2"),
        ("; ;", ""),
        ("", ""),
    ],
)
def test_closing_semicolons_come_off(sql, text):
    """Semicolons at the end come off, with what stands behind them, and no others."""
    assert strip_semicolons(sql) == text
