"""Statements that read and are no SELECT: DESCRIBE and SHOW, in the formats in which a SELECT is streamed."""

from __future__ import annotations

import pytest

from tallymark.store.engine import STREAMED_FORMATS

pytestmark = pytest.mark.store

STATEMENTS = ("DESCRIBE TABLE events", "desc tallymark.events", "SHOW TABLES", "show databases;")


@pytest.mark.parametrize("project", ["", "mine"], ids=["internal", "visitor"])
@pytest.mark.parametrize("sql", STATEMENTS)
@pytest.mark.parametrize("fmt", sorted(STREAMED_FORMATS))
def test_every_format_answers(store, project, sql, fmt):
    """DESCRIBE and SHOW answer in every format, named in the URL or in the statement, whole or as it comes."""
    given = {"project": project, "database": "tallymark"}
    whole = store.ask(sql, default_format=fmt, wait_end_of_query=1, **given)
    assert (whole.status, whole.body != b"") == (200, True), whole.text
    assert store.ask(sql, default_format=fmt, **given).body == whole.body
    assert store.ask(f"{sql.rstrip(';')} FORMAT {fmt}", **given).body == whole.body


def test_what_they_say(store):
    """A visitor is told the event table's columns and types, one database and one table."""
    described = store.ask("DESCRIBE TABLE events", project="mine").text.splitlines()
    assert described[0].split("\t")[:2] == ["project", "LowCardinality(String)"]
    assert store.ask("SHOW TABLES", project="mine").text == "events\n"
    assert store.ask("SHOW DATABASES FORMAT CSV", project="mine").text == '"tallymark"\n'
