"""What visitors are told of settings: those that they may give are not readonly, all others are."""

from __future__ import annotations

import re

import pytest

from tallymark.store.errors import EngineError
from tallymark.store.limits import _INTERNAL_LIMITS, _VISITOR_LIMITS, build_settings
from tallymark.store.requests import StoreRequest
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


def limit(name, given, project="mine"):
    """Return what the engine is told of a limit that a request gives."""
    request = StoreRequest(user="public", project=project, settings={name: given})
    return build_settings(request, insert=False)[name]


ZEROS = ["0", "+0", "0.0", "00", "0e5"]
NO_LIMITS = [
    *ZEROS,
    *["-0", ".0", "1e-400", "1e-9", "9e-7", "0.0000009", "0x0", "0x1p-60", "-1", "-1e-9"],
    *[
        "",
        " ",
        "auto",
        "auto(5)",
        "inf",
        "+inf",
        "-inf",
        "infinity",
        "nan",
        "none",
        "null",
        "false",
        "1_0",
        " 1",
        "1 ",
        "1\n",
    ],
    *["18446744073709551616", "36893488147419103233", "1e400", "\uff11", "\u0661", "1k", "'1'"],
]


@pytest.mark.parametrize("name", sorted(_VISITOR_LIMITS))
def test_no_limit_can_be_given_away(store, name):
    """Whatever number, or none, a visitor gives: a limit is refused by its name, or counts and is not past its maximum."""
    _, maximum = _VISITOR_LIMITS[name]
    fractions = [] if name == "max_execution_time" else ["0.5", "1.5", "1e-1"]
    for value in [*(one for one in NO_LIMITS if maximum or one not in ZEROS), *fractions]:
        with pytest.raises(EngineError, match=name) as refused:
            limit(name, value)
        assert refused.value.number in (36, 452), value
    if maximum:
        assert limit(name, str(maximum)) == str(maximum)
        with pytest.raises(EngineError, match=name):
            limit(name, str(maximum + 1))
    if may_give(name):
        # As a real visitor meets it.
        for value in ("1e-9", "0", "nan"):
            answer = store.ask("SELECT 1", project="mine", **{name: value})
            assert answer.status == 400, (value, answer.text)
            assert name in answer.text


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("max_execution_time", "60.0", "60"),
        ("max_execution_time", "2.5e1", "25"),
        ("max_execution_time", "12.3456789", "12.345678"),
        ("max_result_rows", "1e3", "1000"),
        ("max_memory_usage", "+1E8", "100000000"),
        ("max_result_bytes", "100000.0", "100000"),
        ("max_threads", "3", "3"),
        ("max_execution_time", "1e-6", "0.000001"),
    ],
)
def test_a_limit_counts_however_its_number_is_written(name, given, told):
    """The engine gets the number, not its spelling."""
    assert float(limit(name, given)) == float(told)
    assert re.fullmatch(r"\d+(\.\d+)?", limit(name, given))


def test_the_smallest_time_is_a_limit(store):
    """A statement with a microsecond ends for want of time, and does not run without a limit."""
    answer = store.ask("SELECT count() FROM numbers(1000000)", project="mine", max_execution_time="1e-6")
    assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (422, "159"), answer.text


@pytest.mark.parametrize("name", sorted(_VISITOR_LIMITS))
def test_limits_stand_however_they_are_given(store, name):
    """A form's field and a SETTINGS clause give no limit away either."""
    if may_give(name):
        form = (
            '--b\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELECT 1\r\n'
            f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n1e-9\r\n--b--\r\n'
        )
        answer = store.ask(form, project="mine", headers={"Content-Type": "multipart/form-data; boundary=b"})
        assert answer.status == 400, answer.text
        assert name in answer.text
    for sql in (
        f"SELECT 1 SETTINGS {name} = 0",
        f"SELECT 1 SETTINGS {name} = 0 FORMAT JSON",
        f"SELECT 1 FORMAT JSON SETTINGS {name} = 0",
        f"SELECT * FROM (SELECT 1 SETTINGS {name} = 1e-9)",
        f"SELECT 1 UNION ALL SELECT 2 SETTINGS {name} = DEFAULT",
        f"WITH x AS (SELECT 1 SETTINGS {name} = 0) SELECT * FROM x",
        f"SELECT name FROM system.settings SETTINGS {name} = 0",
        f"SHOW TABLES SETTINGS {name} = 0",
        f"DESCRIBE events SETTINGS {name} = 0",
        f"SET {name} = 0",
    ):
        answer = store.ask(sql, project="mine")
        assert answer.status in (400, 403), (sql, answer.text)


def test_our_own_limits_are_numbers_too():
    """Our own processes may go without the limits that have no maximum, by saying 0; nothing else comes to that."""
    for name, (_, maximum) in _INTERNAL_LIMITS.items():
        for value in NO_LIMITS:
            if value in ZEROS and not maximum:
                assert limit(name, value, project="") == "0"
                continue
            with pytest.raises(EngineError, match=name):
                limit(name, value, project="")
