"""A folder that an earlier program wrote still opens: its keys work, its backlog is stored, what is new can be used."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa

from tallymark.catalog.tables import METADATA

pytestmark = pytest.mark.store

# The tables that each version of the catalog brought; the first had all others.
BROUGHT = {
    "0002": ("definition", "embed", "asked"),
    "0003": ("colour", "follow"),
    "0004": ("notice", "standing", "alert_change", "receiver", "silence"),
}


def _take_back(server, version):
    """Make the catalog what the program of that version left."""
    with server.open_catalog() as catalog, catalog.engine.begin() as connection:
        for name, tables in BROUGHT.items():
            for table in tables if name > version else ():
                connection.execute(sa.text(f"DROP TABLE {table}"))
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :version"), {"version": version})


@pytest.mark.parametrize("version", ["0001", "0002", "0003"])
def test_a_folder_of_an_earlier_program_opens(make_server, build_event, version):
    """Started on it, with events that the store does not have yet, the server has lost nothing and can do what is new."""
    server = make_server().start()
    server.signal("loader")
    sent = [build_event(f"old-{number}", event_name="bought", agent_os="iOS") for number in range(50)]
    assert server.send(sent).status == 200
    server.kill_all()
    _take_back(server, version)
    server.start()
    totals = server.wait_loaded()["totals"]
    assert (totals["received"], totals["stored"]) == (50, 50)
    made = server.request(
        "PUT",
        "/v1/metrics/bought",
        json.dumps({"kind": "count", "event_name": "bought"}),
        key=server.admin_key,
    )
    assert made.status == 200, made.body
    assert server.trace("old-7")["verdict"] == "stored"
    with server.open_catalog() as catalog:
        assert set(sa.inspect(catalog.engine).get_table_names()) == {*METADATA.tables, "alembic_version"}


def test_every_table_is_in_a_version():
    """A table that a later version brings is taken back by this test too."""
    first = {"project", "api_key", "person", "session", "fact"}
    brought = {table for tables in BROUGHT.values() for table in tables}
    assert set(METADATA.tables) - brought == first
