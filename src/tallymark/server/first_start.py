"""What happens before any process opens the data folder: the lock, the catalog's version, the first project.

The supervisor calls it once. Keys and passwords that are made here are shown once and stored as hashes.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tallymark.catalog.migrations import run_migrations
from tallymark.catalog.repository import Catalog, check_given_key
from tallymark.catalog.tables import open_engine, sqlite_url
from tallymark.errors import ConfigError, TallymarkError
from tallymark.journal.folder_lock import FolderLock
from tallymark.server.address import format_address, format_place
from tallymark.server.config import Config

DEFAULT_PROJECT = "default"
ADMIN = "admin"
# In the data folder: who holds it.
LOCK_FILE = "server.lock"


@dataclass(slots=True)
class FirstStart:
    """Secrets made at the first start, to be shown once; empty where they were given or exist already."""

    keys: dict[str, str] = field(default_factory=dict)
    password: str = ""


@contextlib.contextmanager
def hold_folder(config: Config) -> Iterator[None]:
    """Hold the data folder; raises TallymarkError naming who has it."""
    folder = Path(config.data)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FolderLock(folder, LOCK_FILE)
    except BlockingIOError as error:
        raise TallymarkError("folder_in_use", _describe_holder(folder)) from error
    except OSError as error:
        message = f"The data folder {folder} cannot be used: {error.strerror}. Give another one with --data."
        raise TallymarkError("folder_unusable", message) from error
    try:
        holder = {"pid": os.getpid(), "host": config.host, "port": config.port}
        lock.write_note(json.dumps(holder).encode())
        yield
    finally:
        lock.close()


def check_address(config: Config) -> None:
    """Raise TallymarkError when nothing can listen at the configured address, or somebody does already.

    The server itself would share the port with whoever is there, and each would get some of the requests.
    """
    try:
        family = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((config.host, config.port))
            probe.listen(1)
    except OSError as error:
        code = "port_in_use" if error.errno == errno.EADDRINUSE else "address_unusable"
        message = (
            f"Cannot listen at {format_place(config.host, config.port)}: {error.strerror}. "
            "Give another --host or --port."
        )
        raise TallymarkError(code, message) from error


def _describe_holder(folder: Path) -> str:
    who = ""
    # The note may be missing: somebody deleted the file, or the holder has not written it yet.
    with contextlib.suppress(OSError, ValueError, KeyError):
        holder = json.loads((folder / LOCK_FILE).read_bytes())
        who = f" by process {holder['pid']} at {format_address(holder['host'], holder['port'])}"
    return f"The data folder {folder} is in use{who}. Stop that server, or give another folder with --data."


def prepare_catalog(config: Config, environment: Mapping[str, str]) -> tuple[Catalog, FirstStart]:
    """Bring the catalog up to date; at the very first start make project, keys and password."""
    engine = open_engine(config.catalog_url or sqlite_url(Path(config.data)))
    run_migrations(engine)
    catalog = Catalog(engine)
    made = FirstStart()
    given = {scope: environment.get(f"TALLYMARK_{scope.upper()}_KEY", "") for scope in ("write", "read")}
    given_password = environment.get("TALLYMARK_ADMIN_PASSWORD", "")
    if catalog.fact("secret") is None:
        catalog.set_fact("secret", secrets.token_hex(32))
    if not catalog.list_projects():
        # All that is given is checked before anything is made: a start that failed must not count as the first.
        for scope, key in given.items():
            check_given_key(key, f"TALLYMARK_{scope.upper()}_KEY")
        password = given_password or secrets.token_urlsafe(12)
        catalog.add_person(ADMIN, password)
        catalog.create_project(DEFAULT_PROJECT)
        for scope, chosen in given.items():
            key = catalog.create_key(DEFAULT_PROJECT, scope, f"first {scope} key", key=chosen)
            if not chosen:
                made.keys[scope] = key
        made.password = "" if given_password else password
    return catalog, made


def check_own_project(config: Config, catalog: Catalog, source: str) -> None:
    """Raise ConfigError when the project that tallymark's own numbers go to does not exist."""
    names = [project.name for project in catalog.list_projects()]
    if config.own_project and config.own_project not in names:
        raise ConfigError(
            f"own_project = {config.own_project!r}: there is no such project. Make it with 'tallymark projects create', "
            f"or name one of: {', '.join(names)}.",
            at=source,
        )
