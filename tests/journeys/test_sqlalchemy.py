"""SQLAlchemy with clickhouse-connect's dialect, as Superset and pandas use it, on a real server's public port.

The example of docs/clickhouse-interface.md runs here too, as it stands there.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

from tallymark.store.schema import EVENT_COLUMNS

pytestmark = pytest.mark.store

PAGE = (Path(__file__).parents[2] / "docs" / "clickhouse-interface.md").read_text(encoding="utf-8")
NAMES = [column.name for column in EVENT_COLUMNS]


@pytest.fixture(scope="module")
def url(server, build_event):
    """Store two events and return the address for SQLAlchemy, in the form that the page shows."""
    server.send([build_event("sa-1"), build_event("sa-2", attributes={"plan": "pro"})])
    server.wait_loaded()
    (pattern,) = re.findall(r"`(clickhousedb://\S+)`", PAGE)
    return (
        pattern.replace("READ_KEY", server.read_key)
        .replace("HOST", "127.0.0.1")
        .replace("8600", str(server.port))
    )


@pytest.fixture
def engine(url):
    made = sa.create_engine(url)
    yield made
    made.dispose()


def test_names_are_listed(engine):
    """Schemas, tables and views are those that there are to read."""
    inspector = sa.inspect(engine)
    assert inspector.default_schema_name == "tallymark"
    assert inspector.get_schema_names() == ["tallymark"]
    assert inspector.has_schema("tallymark")
    for schema in (None, "tallymark"):
        assert inspector.get_table_names(schema=schema) == ["events"]
        assert inspector.get_view_names(schema=schema) == []
        assert inspector.get_materialized_view_names(schema=schema) == []
    assert inspector.get_temp_table_names() == []


@pytest.mark.parametrize("schema", [None, "tallymark"])
def test_the_table_is_described(engine, schema):
    """`has_table`, `get_columns` and the rest say what the table is."""
    inspector = sa.inspect(engine)
    assert inspector.has_table("events", schema=schema)
    columns = inspector.get_columns("events", schema=schema)
    assert [column["name"] for column in columns] == NAMES
    assert [column["name"] for column in columns if column["nullable"]] == ["value", "performer_is_logged_in", "performer_is_bot"]  # fmt: skip
    assert inspector.get_pk_constraint("events", schema=schema)["constrained_columns"] == []
    assert inspector.get_foreign_keys("events", schema=schema) == []
    assert inspector.get_indexes("events", schema=schema) == []
    assert inspector.get_table_comment("events", schema=schema) == {"text": None}


@pytest.mark.parametrize("schema", [None, "tallymark"])
def test_tables_load_themselves(engine, schema):
    """`Table(..., autoload_with=engine)` and `MetaData.reflect` give a table that can be asked."""
    table = sa.Table("events", sa.MetaData(), schema=schema, autoload_with=engine)
    assert table.columns.keys() == NAMES
    question = sa.select(table.c.event_name, sa.func.count().label("n")).group_by(table.c.event_name)
    with engine.connect() as connection:
        assert [tuple(row) for row in connection.execute(question)] == [("clicked", 2)]
        rows = connection.execute(
            sa.select(table.c.event_id)
            .where(table.c.event_id == "sa-2")
            .order_by(table.c.event_id.desc())
            .limit(5)
        )
        assert [tuple(row) for row in rows] == [("sa-2",)]
        assert len(connection.execute(sa.select(table)).all()) == 2
    metadata = sa.MetaData()
    metadata.reflect(engine)
    assert list(metadata.tables) == ["events"]


@pytest.mark.parametrize("name", ["nothing", "migrations", "probe", "x FORMAT JSON"])
def test_what_is_not_there_is_not_there(engine, name):
    """A table that does not exist, and one that is hidden, are told the same: there is none."""
    inspector = sa.inspect(engine)
    assert not inspector.has_table(name)
    assert not inspector.has_table(name, schema="tallymark")
    assert not inspector.has_table("parts", schema="system")
    for schema in (None, "tallymark"):
        with pytest.raises(sa.exc.NoSuchTableError):
            inspector.get_columns(name, schema=schema)
        with pytest.raises(sa.exc.NoSuchTableError):
            sa.Table(name, sa.MetaData(), schema=schema, autoload_with=engine)


def test_other_schemas_are_refused(engine):
    """Another schema's tables are refused, not shown as none."""
    with pytest.raises(sa.exc.DatabaseError, match="only tallymark"):
        sa.inspect(engine).get_table_names(schema="system")


def test_pandas_reads(engine):
    """`read_sql` with text, with parameters and with a query of SQLAlchemy's, and `read_sql_table`."""
    frame = pd.read_sql(
        "SELECT event_id, count() AS n FROM events GROUP BY event_id ORDER BY event_id", engine
    )
    assert frame.to_dict("list") == {"event_id": ["sa-1", "sa-2"], "n": [1, 1]}
    asked = sa.text("SELECT event_id FROM events WHERE event_id = :id")
    assert pd.read_sql(asked, engine, params={"id": "sa-2"})["event_id"].tolist() == ["sa-2"]
    assert sorted(pd.read_sql_table("events", engine, columns=["event_id"])["event_id"]) == ["sa-1", "sa-2"]


def test_formats_as_names(engine):
    """A column named `format` can be ordered by, as any other."""
    with engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT 'png' AS format ORDER BY format DESC")).all()
    assert [tuple(row) for row in rows] == [("png",)]


def test_the_pages_example(url):
    """The example of the page runs as it stands."""
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (pattern,) = re.findall(r'"(clickhousedb://[^"]+)"', block)
    names: dict[str, object] = {}
    exec(compile(block.replace(pattern, url), "docs/clickhouse-interface.md", "exec"), names)  # noqa: S102  the page is ours
