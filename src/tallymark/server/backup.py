"""A copy of the data folder while the server runs: one that starts, and in which every event is accounted for.

The order makes it whole. Dedup may never know more than the ledger, the ledger never more than the store, the store never
more than the journal: so each is copied before what it must not be ahead of. What the restored loader finds in the store
beyond its ledger it recognises, as after a crash.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

import msgspec

from tallymark.catalog.tables import CATALOG_FILE
from tallymark.dedup.index import MANIFEST_FILE, Manifest
from tallymark.errors import TallymarkError
from tallymark.journal.files import DURABLE_END_FILE, list_segments
from tallymark.server.orders import find_paths
from tallymark.store.engine import STORE_FOLDER

# Parts that an insert or a merge is writing, or that are being deleted.
_UNFINISHED = ("tmp", "delete_tmp")
_TOKENS = "deduplication_logs"
_ATTEMPTS = 20


def back_up(data: Path, target: Path, *, store: bool = True, catalog: bool = True) -> int:
    """Copy the data folder to `target`, which must not exist; return the bytes of the copy.

    `store` and `catalog` are False where these are not in the folder. The copy has another name until it is whole.
    Raises TallymarkError: no_data_folder, backup_exists, backup_failed.
    """
    paths = find_paths(data)
    if not paths.journal.exists():
        raise TallymarkError(
            "no_data_folder", f"There is no journal in {data}. Give the data folder with --data."
        )
    if target.exists():
        raise TallymarkError("backup_exists", f"{target} exists already. Name a folder that does not.")
    draft = target.with_name(target.name + ".incomplete")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        _copy_dedup(paths.dedup, draft / paths.dedup.name)
        for name in (paths.ledger.name, *([CATALOG_FILE] if catalog else [])):
            _copy_database(data / name, draft / name)
        if store:
            links = data / f"{draft.name}.links"
            try:
                _copy_store(data / STORE_FOLDER, draft / STORE_FOLDER, links)
            finally:
                # Links that stay would keep the room of parts that the store has long deleted.
                shutil.rmtree(links, ignore_errors=True)
        _copy_journal(paths.journal, draft / paths.journal.relative_to(data))
    except (OSError, sqlite3.Error) as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise TallymarkError(
            "backup_failed", f"{error}. Nothing was kept of the copy.", at=str(target)
        ) from error
    os.sync()
    draft.rename(target)
    return sum(file.stat().st_size for file in target.rglob("*") if file.is_file())


def _copy_dedup(source: Path, target: Path) -> None:
    """Copy a manifest with the runs that it names; runs are never changed, but may be gone for newer ones."""
    target.mkdir()
    for _ in range(_ATTEMPTS):
        try:
            text = (source / MANIFEST_FILE).read_bytes()
        except FileNotFoundError:
            return  # nothing was flushed yet: the journal has it all
        named = [
            run.file for part in msgspec.json.decode(text, type=Manifest).generations for run in part.runs
        ]
        try:
            for name in named:
                if not (target / name).exists():
                    shutil.copy2(source / name, target / name)
        except FileNotFoundError:
            continue
        (target / MANIFEST_FILE).write_bytes(text)
        return
    raise OSError("the dedup index changed too often while it was copied")


def _copy_database(source: Path, target: Path) -> None:
    """Copy an SQLite database as of one moment."""
    with (
        contextlib.closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as reading,
        contextlib.closing(sqlite3.connect(target)) as writing,
    ):
        reading.backup(writing)


def _copy_store(source: Path, target: Path, links: Path) -> None:
    """Copy the store: first the tokens of inserts, then the parts, so that no token stands without its rows.

    Parts are never changed, so they are linked first, which takes a moment, and copied at leisure where the target is
    on another disk. Those that a merge replaced stay for some minutes, so none is missed.
    """
    tokens = [path for path in source.glob(f"store/*/*/{_TOKENS}") if path.is_dir()]
    for path in tokens:
        shutil.copytree(path, links / path.relative_to(source))
    for folder, names, files in os.walk(source):
        names[:] = [name for name in names if name != _TOKENS and not name.startswith(_UNFINISHED)]
        place = links / Path(folder).relative_to(source)
        place.mkdir(parents=True, exist_ok=True)
        try:
            for name in names:
                if Path(folder, name).is_symlink():
                    (place / name).symlink_to(Path(folder, name).readlink())
            for name in files:
                os.link(Path(folder, name), place / name)
        except FileNotFoundError:
            # A part that a merge replaced minutes ago is being deleted; its rows are in the part that replaced it.
            shutil.rmtree(place)
            names.clear()
    shutil.move(links, target)


def _copy_journal(source: Path, target: Path) -> None:
    """Copy the segments, after the number up to which they are durable; the last may end in the middle of a record."""
    target.mkdir(parents=True)
    shutil.copy2(source / DURABLE_END_FILE, target / DURABLE_END_FILE)
    for _, path in list_segments(source):
        with contextlib.suppress(FileNotFoundError):
            shutil.copy2(path, target / path.name)
