"""What visitors are told of settings: those that they may give are not readonly, all others are."""

from __future__ import annotations

import pytest

from tallymark.store.errors import EngineError
from tallymark.store.visitors import Gate

pytestmark = pytest.mark.store


@pytest.fixture
def ask(store):
    """Return a function that asks as a visitor and gives the answer's lines."""

    def run(sql, **parameters):
        answer = store.ask(sql, project="mine", **parameters)
        assert answer.status == 200, answer.text
        return answer.text.splitlines()

    return run


def may_give(name):
    """Tell whether a visitor's request may have the setting."""
    try:
        Gate.check_settings(None, {name: "1"})
    except EngineError:
        return False
    return True


def test_every_setting_is_told_as_it_is(ask):
    """Of all settings of the engine exactly those that the gate lets pass are told as not readonly."""
    told = dict(line.split("\t") for line in ask("SELECT name, readonly FROM system.settings"))
    assert len(told) > 1000
    assert told == {name: "0" if may_give(name) else "1" for name in told}
    assert told["max_threads"] == "0"
    assert told["format_schema"] == told["log_comment"] == told["readonly"] == "1"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT readonly FROM system.settings WHERE name = 'max_threads'",
        "SELECT s.readonly FROM system.settings AS s WHERE s.name = 'max_threads'",
        "SELECT s.readonly FROM `system`.`settings` s WHERE name = 'max_threads' LIMIT 1",
        "SELECT settings.readonly FROM system.settings WHERE settings.name = 'max_threads'",
        "WITH x AS (SELECT * FROM system.settings) SELECT readonly FROM x WHERE name = 'max_threads'",
        "SELECT countIf(readonly) FROM system.settings WHERE name IN ('max_threads', 'extremes')",
        "(SELECT DISTINCT readonly FROM (SELECT * FROM system.settings WHERE name = 'max_threads'))",
    ],
)
def test_however_it_is_asked(ask, sql):
    """It does not depend on how the statement names the table."""
    assert ask(sql) == ["0"]


def test_the_table_stays_what_it_is(ask, store):
    """Its columns and their types are those of the engine, and its values those of the visitor's connection."""
    sql = "SELECT * FROM system.settings LIMIT 0 FORMAT TSVWithNamesAndTypes"
    assert ask(sql) == store.ask(sql).text.splitlines()
    assert ask("SELECT value FROM system.settings WHERE name = 'max_threads'", max_threads=3) == ["3"]
    assert store.ask("SELECT readonly FROM system.settings WHERE name = 'log_comment'").text == "0\n"
