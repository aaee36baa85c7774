"""The catalog: projects, keys and people; secrets are stored as digests, and every change raises the version."""

from __future__ import annotations

from datetime import timedelta

import alembic.autogenerate
import alembic.migration
import pytest

from tallymark.catalog.migrations import run_migrations
from tallymark.catalog.repository import Catalog
from tallymark.catalog.snapshot import SnapshotSource
from tallymark.catalog.tables import METADATA, open_engine, sqlite_url
from tallymark.errors import RequestRefused


@pytest.fixture
def catalog(tmp_path):
    engine = open_engine(sqlite_url(tmp_path))
    run_migrations(engine)
    made = Catalog(engine)
    made.create_project("default")
    yield made
    engine.dispose()


def test_migrations_make_the_tables(catalog):
    """What the migrations leave is what the tables say, and running them again changes nothing."""
    run_migrations(catalog.engine)
    with catalog.engine.connect() as connection:
        context = alembic.migration.MigrationContext.configure(connection)
        assert alembic.autogenerate.compare_metadata(context, METADATA) == []


def test_keys_are_not_stored(catalog, tmp_path):
    """A key opens its project with its scope; in the file there is only its digest."""
    key = catalog.create_key("default", "write", "shop")
    source = SnapshotSource(catalog)
    holder = source.current().find_key(key)
    assert (holder.project, holder.scope) == ("default", "write")
    assert source.current().find_key(key + "x") is None
    assert not any(key.encode() in path.read_bytes() for path in tmp_path.iterdir())
    (row,) = catalog.list_keys("default")
    assert row.hint == f"…{key[-4:]}"


def test_revoked_key_ends_with_the_next_look(catalog):
    """A snapshot stays as it is until somebody looks, and then knows of every change."""
    key = catalog.create_key("default", "read")
    source = SnapshotSource(catalog)
    catalog.revoke_key(catalog.list_keys()[0].id)
    assert source.current().find_key(key) is not None
    source.look()
    assert source.current().find_key(key) is None


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (lambda catalog: catalog.create_project("default"), "conflict"),
        (lambda catalog: catalog.create_project("-no"), "invalid_request"),
        (lambda catalog: catalog.create_project("x" * 65), "invalid_request"),
        (lambda catalog: catalog.create_key("nowhere", "read"), "not_found"),
        (lambda catalog: catalog.create_key("default", "owner"), "invalid_request"),
        (lambda catalog: catalog.create_key("default", "read", key="short"), "invalid_request"),
        (lambda catalog: catalog.revoke_key(99), "not_found"),
        (lambda catalog: catalog.change_project("nowhere", rate_limit=1), "not_found"),
        (lambda catalog: catalog.change_project("default", rate_limit=-1), "invalid_request"),
        (lambda catalog: catalog.change_project("default", privacy_off=["nonsense"]), "invalid_request"),
    ],
)
def test_what_cannot_be_is_refused(catalog, act, code):
    """Each mistake has its code, and leaves the version as it was."""
    before = catalog.version()
    with pytest.raises(RequestRefused) as caught:
        act(catalog)
    assert caught.value.code == code
    assert catalog.version() == before


def test_key_of_another_project_cannot_be_revoked(catalog):
    """A project's admin reaches no further than the project."""
    catalog.create_project("other")
    catalog.create_key("other", "read")
    with pytest.raises(RequestRefused, match="not_found"):
        catalog.revoke_key(catalog.list_keys()[0].id, "default")


def test_every_change_raises_the_version(catalog):
    """Other processes notice each change by the version."""
    versions = [catalog.version()]
    for act in (
        lambda: catalog.create_project("second"),
        lambda: catalog.create_key("second", "read"),
        lambda: catalog.change_project("second", privacy_off=["email"], rate_limit=5),
        lambda: catalog.revoke_key(1),
    ):
        act()
        versions.append(catalog.version())
    assert versions == sorted(set(versions))
    row = {project.name: project for project in catalog.list_projects()}["second"]
    assert (row.privacy_off, row.rate_limit) == (("email",), 5)


def test_people_and_sessions(catalog):
    """A password signs in, a wrong one and an unknown person do not; a new password ends all sessions."""
    catalog.add_person("ada", "correct horse")
    assert catalog.sign_in("ada", "wrong horse") is None
    assert catalog.sign_in("bob", "correct horse") is None
    token, session = catalog.sign_in("ada", "correct horse")
    found = catalog.find_session(token)
    assert (found.person, found.csrf) == ("ada", session.csrf)
    assert found.expires_at - session.expires_at == timedelta(0)
    assert catalog.find_session("another token") is None
    catalog.set_password("ada", "battery staple")
    assert catalog.find_session(token) is None
    token, _ = catalog.sign_in("ada", "battery staple")
    catalog.end_session(token)
    assert catalog.find_session(token) is None
