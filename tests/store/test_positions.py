"""Where a mistake stands: the position that an error tells is one of the statement as its asker wrote it."""

from __future__ import annotations

import re

import pytest

pytestmark = pytest.mark.store

# The mark stands before what the engine cannot read, or before the parenthesis that it misses the end of.
MARK = "^"
STATEMENTS = [
    "^SELEC 1",
    "SELECT 1 FRM ^events",
    "  SELECT 1 FRM ^events",
    "SELECT 1 FRM ^events;",
    "SELECT 1 FRM ^events x y FORMAT TSV",
    "SELECT 1 +^",
    "SELECT 'abc', ^'open",
    "SELECT 1,\n  2 FRM ^events x y",
    "SELECT count()\nFROM events\nWHERE event_name = ^= = 'a'",
    "SELECT count()\r\nFROM events\r\nWHER ^x\r\nFORMAT JSON",
    "/* one */ -- two\nSELECT 1 ^1 1",
    "SELECT 'größer' AS name,\n\n 'ü' ^'ö' FROM events",
    "SELECT a b ^c FROM system.tables",
    "SELECT name\nFROM system.columns\nLIMIT 1 ^x y",
    "DESCRIBE events events ^x y",
    "SHOW ^TABELS",
    "EXISTS TABLE^",
    "SELECT count() FROM events\nWHERE ^(event_name = 'a'",
    "WITH x AS ^(SELECT 1 SELECT 2",
]


@pytest.mark.parametrize("marked", STATEMENTS)
def test_a_mistake_is_told_where_the_asker_wrote_it(store, marked):
    """Of one line and of several, with a FORMAT clause and without: what we put around a statement is not counted.

    The engine counts positions and columns in bytes, from 1, and tells line and column where there are several lines.
    """
    statement, before = marked.replace(MARK, ""), marked.partition(MARK)[0].encode()
    answer = store.ask(statement, project="positions")
    assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (400, "62")
    assert str(len(before) + 1) in re.findall(r"at position (\d+)", answer.text)
    lines = before.split(b"\n")
    place = (str(len(lines)), str(len(lines[-1]) + 1))
    assert (place in re.findall(r"\(line (\d+), col (\d+)\)", answer.text)) == ("\n" in statement)


def test_a_statement_that_is_begun_in_the_address_is_one_with_its_body(store):
    """Position and line count from the beginning of the address's part."""
    answer = store.ask("2 FRM events x y", project="positions", query="SELECT 1,")
    whole = store.ask("SELECT 1,\n2 FRM events x y", project="positions")
    assert answer.status == whole.status == 400
    assert "(line 2, col 7)" in answer.text
    assert answer.text == whole.text


def test_the_public_port_tells_the_same(server):
    """Nothing that is put around a statement on its way through `/clickhouse` is counted."""
    statement = "SELECT count()\nFROM events\nWHERE event_name == == 'a'"
    answer = server.request("POST", "/clickhouse", statement, headers={"X-ClickHouse-Key": server.read_key})
    assert answer.status == 400
    assert "failed at position 48 (==) (line 3, col 21)" in answer.body.decode()
