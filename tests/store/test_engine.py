"""The engine's own walls between projects, without the gate in front of them."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from tallymark.store.engine import Engine, Scope
from tallymark.store.errors import EngineError
from tallymark.store.schema import CREATE_EVENTS, EVENTS_TABLE

pytestmark = pytest.mark.store


def run_as(data_dir, scope, steps, pipe):
    """Run statements on one connection, in a process of its own because chDB may not be imported in this one."""
    engine = Engine(Path(data_dir), memory_limit_bytes=1 << 30)
    with engine.connection(Scope(), "setup", {}) as connection:
        connection.run(CREATE_EVENTS)
        connection.run("CREATE TABLE tallymark.other (a Int8) ENGINE = MergeTree ORDER BY a")
        connection.run(
            f"INSERT INTO {EVENTS_TABLE} (project, event_id) SELECT if(number < 3, 'mine', 'theirs'), toString(number) "
            "FROM numbers(10)"
        )
    raw = engine._open() if scope is None else engine.open_connection(Scope(scope), "q", {}, "tallymark")
    answers = []
    for sql in steps:
        try:
            answers.append(raw.run(sql).body.decode())
        except EngineError as error:
            answers.append(error.number)
    raw.close()
    engine.close()
    pipe.send(answers)


@pytest.fixture
def run_engine(tmp_path):
    """Return a function that runs statements under a scope and gives their answers or error numbers."""

    def run(scope, *steps):
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=run_as, args=(str(tmp_path / "data"), scope, steps, theirs))
        process.start()
        theirs.close()
        try:
            return ours.recv()
        finally:
            process.join(60)

    return run


COUNT = f"SELECT count() FROM {EVENTS_TABLE}"


def test_a_connection_without_scope_sees_no_rows(run_engine):
    """A connection that nobody set up has every right and still sees no row of the event table."""
    answers = run_engine(None, COUNT, "SELECT count() FROM merge('tallymark', 'events')", "SELECT 1")
    assert answers == ["0\n", "0\n", "1\n"]


def test_the_internal_scope_sees_all(run_engine):
    """Our own processes see the rows of all projects."""
    assert run_engine("", COUNT, "SELECT uniqExact(project) FROM events") == ["10\n", "2\n"]


def test_a_visitor_sees_one_project_whatever_it_manages_to_run(run_engine):
    """Even with the gate gone, even with the other role taken, a visitor sees its project's rows and writes nothing."""
    answers = run_engine(
        "mine",
        COUNT,
        "SELECT count() FROM merge('tallymark', '.*')",
        "SELECT * FROM other",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SELECT * FROM mergeTreeIndex('tallymark', 'events')",
        "SET log_comment = '*'",
        "SET readonly = 0",
        f"{COUNT} SETTINGS log_comment = '*'",
        "CREATE TABLE x (a Int8) ENGINE = Memory",
        f"INSERT INTO {EVENTS_TABLE} (project) VALUES ('theirs')",
        "SET ROLE internal",
        COUNT,
        "SELECT count() FROM merge('tallymark', 'events')",
        "SET log_comment = '*'",
        "DROP TABLE events",
        COUNT,
    )
    assert answers == [
        *("3\n", "3\n", 497, 497, 497, 497, 164, 164, 164, 497, 497),
        *("", "3\n", "3\n", 164, 164, "3\n"),
    ]


@pytest.mark.parametrize("scope", ["*", "'", "mine\ntheirs", "\\", "theirs'--"])
def test_a_scope_is_only_a_name(run_engine, scope):
    """A scope with a meaning elsewhere opens nothing; one with a line break is its first line at most."""
    assert run_engine(scope, COUNT) == ["3\n" if scope.startswith("mine") else "0\n"]
