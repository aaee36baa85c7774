"""Whose metrics somebody looks after: by person and project, replaced as a whole."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from tallymark.catalog.follows import Follows
from tallymark.catalog.migrations import run_migrations
from tallymark.catalog.repository import Catalog
from tallymark.catalog.tables import open_engine, sqlite_url


@pytest.fixture
def catalog(tmp_path):
    engine = open_engine(sqlite_url(tmp_path))
    run_migrations(engine)
    made = Catalog(engine)
    for project in ("shop", "blog"):
        made.create_project(project)
    for person in ("ana", "ben"):
        made.add_person(person, "a long password")
    yield made
    engine.dispose()


def test_what_is_followed_is_the_last_choice(catalog):
    """A new choice takes the place of the old one, of this person in this project only."""
    follows = Follows(catalog)
    assert follows.list("ana", "shop") == frozenset()
    follows.replace("ana", "shop", ["growth", "operations", "growth"])
    follows.replace("ben", "shop", ["finance"])
    follows.replace("ana", "blog", ["editors"])
    follows.replace("ana", "shop", ["Growth\u202e"])
    assert follows.list("ana", "shop") == {"Growth\u202e"}
    assert follows.list("ben", "shop") == {"finance"}
    assert follows.list("ana", "blog") == {"editors"}
    follows.replace("ana", "shop", [])
    assert follows.list("ana", "shop") == frozenset()


def test_a_choice_is_no_change_of_the_project(catalog):
    """Nobody has to read keys and projects again because somebody chose."""
    version = catalog.version()
    Follows(catalog).replace("ana", "shop", ["growth"])
    assert catalog.version() == version


def test_nobody_follows_in_a_project_that_there_is_not(catalog):
    """The tables refuse what belongs to nothing."""
    with pytest.raises(sa.exc.IntegrityError):
        Follows(catalog).replace("ana", "nothing", ["growth"])
