"""Receivers and the key of their addresses: numbers are never given again, and a lost key is said and not replaced."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from tallymark.catalog import migrations
from tallymark.catalog.migrations import run_migrations
from tallymark.catalog.receivers import Receivers
from tallymark.catalog.repository import Catalog
from tallymark.catalog.sealing import KEY_FILE, open_sealer
from tallymark.catalog.tables import NOTICE, RECEIVER, open_engine, sqlite_url
from tallymark.errors import RequestRefused, TallymarkError

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def engine(tmp_path):
    made = open_engine(sqlite_url(tmp_path))
    yield made
    made.dispose()


@pytest.fixture
def catalog(engine):
    run_migrations(engine)
    made = Catalog(engine)
    made.create_project("shop")
    made.create_project("blog")
    return made


def _open(catalog, tmp_path):
    """Open the receivers as a process does that begins."""
    return Receivers(catalog, open_sealer(tmp_path))


def _add(receivers, project="shop", name="chat"):
    receivers.create(project, name, f"json://{name}.example", "json://****", ["*"], "ana", NOW)
    return next(one for one in receivers.list(project) if one.name == name)


def test_a_number_is_never_given_again(catalog, tmp_path):
    """A receiver that is added after another one was removed has a number that nobody had."""
    receivers = _open(catalog, tmp_path)
    first = _add(receivers)
    receivers.remove("shop", "chat")
    second = _add(receivers, "blog")
    assert second.id > first.id
    assert receivers.open_address(first.id, "shop") == ""
    assert receivers.open_address(second.id, "blog", "chat") == "json://chat.example"
    assert receivers.open_address(second.id, "shop") == ""


def test_a_folder_with_receivers_of_an_earlier_program_opens(engine, tmp_path):
    """What waits for receivers is kept through the migration, with its numbers, and numbers go on."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
    times = {"due_at": NOW, "created_at": NOW}
    with engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO project VALUES ('shop', '2026-01-01', '[]', 0)"))
        connection.execute(
            sa.text(
                "INSERT INTO alert_change VALUES (4, 'shop', 'low', '', '[]', 'ok', 'firing', 4, '2026-01-01', '2026-01-01', '', NULL)"
            )
        )
        for number, name in ((1, "chat"), (2, "mail")):
            row = {
                "id": number,
                "project": "shop",
                "name": name,
                "owners": '["*"]',
                "sealed": "x",
                "hint": "y",
            }
            connection.execute(sa.insert(RECEIVER).values(**row, created_at=NOW, created_by="ana"))
            row = {"project": "shop", "alert": "low", "change": 4, "receiver": number, "kind": "change"}
            connection.execute(sa.insert(NOTICE).values(id=6 + number, status="waiting", **row, **times))
        connection.execute(sa.delete(NOTICE).where(NOTICE.c.id == 8))
    run_migrations(engine)
    with engine.begin() as connection:
        assert connection.execute(sa.select(NOTICE.c.id, NOTICE.c.receiver)).all() == [(7, 1)]
        assert connection.execute(sa.select(RECEIVER.c.id, RECEIVER.c.name)).all() == [
            (1, "chat"),
            (2, "mail"),
        ]
        left = set(sa.inspect(connection).get_table_names())
        assert not {name for name in left if name.startswith("kept")}
        connection.execute(sa.delete(RECEIVER).where(RECEIVER.c.id == 2))
        row = {"project": "shop", "alert": "low", "change": 4, "receiver": 1, "kind": "change"}
        done = connection.execute(sa.insert(NOTICE).values(status="waiting", **row, **times))
        assert done.inserted_primary_key[0] == 9
        # A receiver that goes takes its notices along, as before.
        connection.execute(sa.delete(RECEIVER).where(RECEIVER.c.id == 1))
        assert connection.execute(sa.select(sa.func.count()).select_from(NOTICE)).scalar() == 0
    receivers = _open(Catalog(engine), tmp_path)
    assert _add(receivers).id == 3


def test_a_lost_key_is_said_and_not_made_anew(catalog, tmp_path):
    """Without the key nothing is opened or added, each receiver says why, and once it is back all is well."""
    receivers = _open(catalog, tmp_path)
    chat = _add(receivers)
    key = (tmp_path / KEY_FILE).read_bytes()
    (tmp_path / KEY_FILE).unlink()
    receivers = _open(catalog, tmp_path)
    assert not (tmp_path / KEY_FILE).exists()
    assert list(receivers.check(NOW)) == ["shop/chat"]
    (failing,) = receivers.list("shop")
    assert failing.failing_since == NOW
    assert "Bring it back from a backup" in failing.error
    with pytest.raises(TallymarkError, match="not in the data folder"):
        receivers.open_address(chat.id, "shop")
    with pytest.raises(RequestRefused, match="not in the data folder") as refused:
        _add(receivers, name="mail")
    assert refused.value.status == 409
    (tmp_path / KEY_FILE).write_bytes(key)
    assert receivers.check(NOW) == {}
    assert receivers.list("shop")[0].failing_since is None
    assert receivers.open_address(chat.id, "shop") == "json://chat.example"


def test_without_a_backup_one_begins_anew(catalog, tmp_path):
    """Once all receivers are removed a key is made for the next, which processes that run already can read, too."""
    other = _open(catalog, tmp_path)
    number = _add(other).id
    assert other.open_address(number, "shop")
    (tmp_path / KEY_FILE).unlink()
    receivers = _open(catalog, tmp_path)
    receivers.remove("shop", "chat")
    number = _add(receivers).id
    assert other.open_address(number, "shop") == "json://chat.example"


@pytest.mark.parametrize(("content", "said"), [(b"", "holds no key"), (None, "another key")])
def test_a_key_that_does_not_fit_is_said(catalog, tmp_path, content, said):
    """A file that is no key, and the key of another folder, are told apart."""
    _add(_open(catalog, tmp_path))
    if content is None:
        other = tmp_path / "other"
        other.mkdir()
        open_sealer(other).prepare()
        content = (other / KEY_FILE).read_bytes()
    (tmp_path / KEY_FILE).write_bytes(content)
    (error,) = _open(catalog, tmp_path).check(NOW).values()
    assert said in error


def test_a_failure_that_is_another_one_stays(catalog, tmp_path):
    """That the address can be opened says nothing about a receiver that did not answer."""
    receivers = _open(catalog, tmp_path)
    receivers.note(_add(receivers).id, "It said 500.", NOW)
    assert receivers.check(NOW) == {}
    assert receivers.list("shop")[0].error == "It said 500."
    receivers.note(receivers.list("shop")[0].id, "", NOW)
    assert receivers.list("shop")[0].failing_since is None
    assert receivers.list("shop")[0].succeeded_at == NOW
