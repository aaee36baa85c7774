"""A copy of the data folder while the server runs: one that starts, and in which every event is accounted for.

The order makes it whole: each part is copied before what it must not be ahead of. The dedup index never knows more than
the verdict log, the cursors in the ledger never pass it, the store has no more than was judged, and nothing is judged that
the journal does not hold. What the restored loader finds in the store beyond its ledger it recognises, as after a crash.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
from pathlib import Path

import msgspec

from tallymark.catalog.sealing import KEY_FILE
from tallymark.catalog.tables import CATALOG_FILE
from tallymark.dedup.index import MANIFEST_FILE, Manifest
from tallymark.errors import TallymarkError
from tallymark.journal.files import DURABLE_END_FILE, list_segments
from tallymark.journal.verdicts import END_FILE, list_verdict_files
from tallymark.server.orders import find_paths
from tallymark.store.engine import STORE_FOLDER

# Parts that an insert or a merge is writing, or that are being deleted.
_UNFINISHED = ("tmp", "delete_tmp")
_TOKENS = "deduplication_logs"
# The engine's lock with its process id: it belongs to the engine that runs, not to its data.
_LOCK = "status"
# PARTITION_MIN_MAX_LEVEL, and the number of the last mutation: once it has this name the engine only deletes it.
_PART = re.compile(r".+_\d+_\d+_\d+(_\d+)?")
# But for these two, which it may write again where they stand; its own FREEZE does not link them either.
_REWRITTEN = frozenset(("txn_version.txt", "metadata_version.txt"))
_ATTEMPTS = 20


def back_up(data: Path, target: Path, *, store: bool = True, catalog: bool = True) -> int:
    """Copy the data folder to `target`, which must not exist; return the bytes of the copy.

    `store` and `catalog` are False where these are not in the folder. The copy has another name until it is whole.
    Raises TallymarkError: no_data_folder, backup_exists, backup_inside, backup_failed.
    """
    paths = find_paths(data)
    if not paths.journal.exists():
        raise TallymarkError(
            "no_data_folder", f"There is no journal in {data}. Give the data folder with --data."
        )
    if target.exists():
        raise TallymarkError("backup_exists", f"{target} exists already. Name a folder that does not.")
    draft = target.with_name(target.name + ".incomplete")
    _check_apart(data, target, draft)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        _copy_dedup(paths.dedup, draft / paths.dedup.name)
        for name in (paths.readers.name, paths.ledger.name, *([CATALOG_FILE] if catalog else [])):
            # Readers there may be none.
            if (data / name).exists():
                _copy_database(data / name, draft / name)
        if (data / KEY_FILE).exists():
            # Without it nobody could be told of an alert: addresses are sealed with it.
            shutil.copy2(data / KEY_FILE, draft / KEY_FILE)
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


def _check_apart(data: Path, target: Path, draft: Path) -> None:
    """Refuse a target in the data folder, and one whose draft, which is cleared first, is or holds the data folder."""
    real = data.resolve()
    if target.resolve().is_relative_to(real) or real.is_relative_to(draft.resolve()):
        raise TallymarkError(
            "backup_inside", f"{target} is in the way of the data folder {data}. Name a folder outside it."
        )


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
    on another disk. Those that a merge replaced stay for some minutes, so none is missed. All else is copied: a server
    on the copy writes there, and a link would be a lock or a table that it shares with the original. When tables change
    names or go in between, as at the end of an upgrade, all of it is linked again.
    """
    for _ in range(_ATTEMPTS):
        tables = _read_tables(source)
        with contextlib.suppress(FileNotFoundError, shutil.Error):
            _link_store(source, links)
            if _read_tables(source) == tables:
                break
        shutil.rmtree(links, ignore_errors=True)
    else:
        raise OSError("the store's tables changed too often while it was copied")
    (links / _LOCK).unlink(missing_ok=True)
    shutil.move(links, target)


def _read_tables(source: Path) -> dict[Path, bytes]:
    """Return the descriptions of all tables: each says which folder has the table's parts."""
    return {path: path.read_bytes() for path in sorted(source.glob("store/*/*/*.sql"))}


def _link_store(source: Path, links: Path) -> None:
    tokens = [path for path in source.glob(f"store/*/*/{_TOKENS}") if path.is_dir()]
    for path in tokens:
        shutil.copytree(path, links / path.relative_to(source))
    for folder, names, files in os.walk(source):
        names[:] = [name for name in names if name != _TOKENS and not name.startswith(_UNFINISHED)]
        inside = Path(folder).relative_to(source)
        (links / inside).mkdir(parents=True, exist_ok=True)
        if not any(_PART.fullmatch(name) for name in inside.parts):
            _copy_table(Path(folder), links / inside, names, files)
        elif not _link_part(Path(folder), links / inside, files):
            names.clear()


def _copy_table(source: Path, target: Path, names: list[str], files: list[str]) -> None:
    """Copy what stands beside the parts: descriptions of tables, and the names under which the engine finds them."""
    for name in names:
        if (source / name).is_symlink():
            (target / name).symlink_to((source / name).readlink())
    for name in files:
        # Gone is a draft that got its name, or the order of a mutation that has ended.
        with contextlib.suppress(FileNotFoundError):
            shutil.copy2(source / name, target / name)


def _link_part(source: Path, target: Path, files: list[str]) -> bool:
    """Link a part's files. False when it is being deleted: a merge replaced it minutes ago and has its rows."""
    try:
        for name in files:
            if name in _REWRITTEN:
                shutil.copy2(source / name, target / name)
            else:
                os.link(source / name, target / name)
        whole = source.exists()
    except FileNotFoundError:
        whole = False
    if not whole:
        shutil.rmtree(target)
    return whole


def _copy_journal(source: Path, target: Path) -> None:
    """Copy the verdict log, then the segments: of each first the number up to which it is durable.

    The last file of each may end in the middle of a frame.
    """
    target.mkdir(parents=True)
    for end_file, list_files in ((END_FILE, list_verdict_files), (DURABLE_END_FILE, list_segments)):
        with contextlib.suppress(FileNotFoundError):
            shutil.copy2(source / end_file, target / end_file)
        for _, path in list_files(source):
            with contextlib.suppress(FileNotFoundError):
                shutil.copy2(path, target / path.name)
