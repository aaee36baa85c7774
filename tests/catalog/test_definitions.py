"""Who asked which definition: counted of those that there are, and forgotten with them."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
import sqlalchemy as sa

from tallymark.catalog.definitions import Definitions, Removal, Write
from tallymark.catalog.migrations import run_migrations
from tallymark.catalog.repository import Catalog
from tallymark.catalog.tables import ASKED, open_engine, sqlite_url
from tallymark.errors import RequestRefused

NOW = datetime(2026, 5, 12, tzinfo=UTC)
ASKED_BY_ANN = {
    ("metric", "orders", "ann"): 2,
    ("dashboard", "orders", "ann"): 1,
    ("metric", "ghost", "ann"): 5,
}


@pytest.fixture
def definitions(tmp_path):
    engine = open_engine(sqlite_url(tmp_path))
    run_migrations(engine)
    catalog = Catalog(engine)
    catalog.create_project("default")
    catalog.create_project("other")
    yield Definitions(catalog)
    engine.dispose()


def _make(definitions, kind="metric", seen=0, project="default"):
    definitions.change(project, "ann", [Write(kind, "orders", "{}", seen)])


def _times(definitions, kind="metric", project="default"):
    return {name: use.times for name, use in definitions.list_uses(project, kind, date(2026, 5, 1)).items()}


def _rows(definitions):
    with definitions._catalog.engine.connect() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(ASKED)).scalar()


def test_only_what_there_is_counts(definitions):
    """A look at a name that nothing has leaves no row, so nobody fills the catalog with names that he made up."""
    _make(definitions)
    definitions.note_asked("default", ASKED_BY_ANN, NOW)
    definitions.note_asked("default", ASKED_BY_ANN, NOW)
    definitions.note_asked("other", ASKED_BY_ANN, NOW)
    assert _times(definitions) == {"orders": 4}
    assert _rows(definitions) == 1


def test_a_removed_one_takes_its_looks_along(definitions):
    """What is made later under the same name begins with none; a dashboard of that name, and other projects, keep theirs."""
    _make(definitions)
    _make(definitions, "dashboard")
    _make(definitions, project="other")
    for project in ("default", "other"):
        definitions.note_asked(project, ASKED_BY_ANN, NOW)
    _make(definitions, seen=1)
    assert _times(definitions) == {"orders": 2}, "a change is no new metric"
    definitions.change("default", "ann", [Removal("metric", "orders", 2)])
    assert _rows(definitions) == 2
    _make(definitions)
    assert _times(definitions) == {}
    assert _times(definitions, "dashboard") == {"orders": 1}
    assert _times(definitions, project="other") == {"orders": 2}


def test_a_new_one_has_no_past(definitions):
    """Looks that an older version noted before there was anything are not those of what is made now."""
    with definitions._catalog.engine.begin() as connection:
        row = {"project": "default", "kind": "metric", "name": "orders", "who": "ann", "day": NOW.date()}
        connection.execute(sa.insert(ASKED).values(**row, times=9, last_at=NOW))
    _make(definitions)
    assert _times(definitions) == {}


@pytest.mark.parametrize(
    ("seen", "says"),
    [(0, "exists already, at version 2"), (1, "is at version 2: somebody else changed it")],
)
def test_a_conflict_says_what_is_there(definitions, seen, says):
    """Who takes it for new is told that it exists; who saw an older version, that somebody else changed it."""
    _make(definitions)
    _make(definitions, seen=1)
    with pytest.raises(RequestRefused, match=says) as refused:
        _make(definitions, seen=seen)
    assert ("somebody else" in refused.value.message) == bool(seen)
