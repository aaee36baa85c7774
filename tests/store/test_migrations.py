"""The store's format: steps run once, and a folder of a newer version stays untouched."""

from __future__ import annotations

import pytest

from tallymark.errors import FormatError
from tallymark.store.migrations import (
    MIGRATIONS,
    STORE_VERSION,
    VERSION_TABLE,
    Migration,
    read_version,
    run_migrations,
)
from tallymark.store.schema import EVENTS_TABLE

pytestmark = pytest.mark.store


def test_numbers_go_up_by_one():
    """The steps are numbered 1, 2, 3 and so on, without gaps."""
    assert [step.version for step in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))


def test_a_step_runs_once(store_process):
    """Running the migrations again changes nothing, and a new step runs where the old ones ran before."""
    client = store_process.client()
    assert run_migrations(client) == STORE_VERSION
    more = (
        *MIGRATIONS,
        Migration(STORE_VERSION + 1, "mark", ("CREATE TABLE tallymark.mark (a Int8) ENGINE = Memory",)),
    )
    assert run_migrations(client, more) == STORE_VERSION + 1
    assert run_migrations(client, more) == STORE_VERSION + 1
    applied = client.query_rows(f"SELECT version FROM {VERSION_TABLE} ORDER BY version").rows
    assert applied == [(step.version,) for step in more]


def test_older_code_refuses_a_newer_folder(store_process):
    """A folder that a newer version wrote is refused with what to do, and nothing in it changes."""
    client = store_process.client()
    client.command(f"INSERT INTO {VERSION_TABLE} (version, name) VALUES (999, 'from the future')")
    with pytest.raises(FormatError, match=r"version 999.*up to") as refused:
        run_migrations(client)
    assert "newer tallymark" in refused.value.message
    assert read_version(client) == 999


def test_a_step_that_broke_off_runs_again(store_process):
    """A crash between a step's statements and its number costs nothing: the step runs again and keeps the rows."""
    client = store_process.client()
    client.command(f"INSERT INTO {EVENTS_TABLE} (event_id) VALUES ('kept')")
    client.command(f"TRUNCATE TABLE {VERSION_TABLE}")
    assert run_migrations(client) == STORE_VERSION
    assert client.query_rows(f"SELECT event_id FROM {EVENTS_TABLE}").rows == [("kept",)]
