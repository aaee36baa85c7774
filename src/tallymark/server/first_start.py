"""What happens before any process opens the data folder: the lock, the catalog's version, the first project.

The supervisor calls it once. Keys and passwords that are made here are shown once and stored as hashes.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tallymark.catalog.migrations import run_migrations
from tallymark.catalog.repository import Catalog
from tallymark.catalog.tables import open_engine, sqlite_url
from tallymark.errors import TallymarkError
from tallymark.server.config import Config
from tallymark.server.orders import find_paths

DEFAULT_PROJECT = "default"
ADMIN = "admin"


@dataclass(slots=True)
class FirstStart:
    """Secrets made at the first start, to be shown once; empty where they were given or exist already."""

    keys: dict[str, str] = field(default_factory=dict)
    password: str = ""


@contextlib.contextmanager
def hold_folder(config: Config) -> Iterator[None]:
    """Hold the data folder; raises TallymarkError naming who has it."""
    folder = Path(config.data)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = find_paths(folder).lock
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise TallymarkError("folder_in_use", _describe_holder(descriptor, folder)) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(
            descriptor, json.dumps({"pid": os.getpid(), "host": config.host, "port": config.port}).encode(), 0
        )
        yield
    finally:
        os.close(descriptor)


def _describe_holder(descriptor: int, folder: Path) -> str:
    who = ""
    with contextlib.suppress(ValueError, KeyError):
        holder = json.loads(os.pread(descriptor, 4096, 0))
        who = f" by process {holder['pid']} at http://{holder['host']}:{holder['port']}"
    return f"The data folder {folder} is in use{who}. Stop that server, or give another folder with --data."


def prepare_catalog(config: Config, environment: Mapping[str, str]) -> tuple[Catalog, FirstStart]:
    """Bring the catalog up to date; at the very first start make project, keys and password."""
    engine = open_engine(config.catalog_url or sqlite_url(Path(config.data)))
    run_migrations(engine)
    catalog = Catalog(engine)
    made = FirstStart()
    if catalog.fact("secret") is None:
        catalog.set_fact("secret", secrets.token_hex(32))
    if not catalog.list_projects():
        catalog.create_project(DEFAULT_PROJECT)
        for scope in ("write", "read"):
            given = environment.get(f"TALLYMARK_{scope.upper()}_KEY", "")
            key = catalog.create_key(DEFAULT_PROJECT, scope, f"first {scope} key", key=given)
            if not given:
                made.keys[scope] = key
        given = environment.get("TALLYMARK_ADMIN_PASSWORD", "")
        password = given or secrets.token_urlsafe(12)
        catalog.set_password(ADMIN, password)
        if not given:
            made.password = password
    return catalog, made
