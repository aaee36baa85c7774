"""A server over a store that was filled beforehand, and beside it a store with the same rows in one plain, merged table.

Questions and dashboards are asked of the one, hand-written SQL of the other.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from serving import Server

from tallymark.store.chdb_server import run_store
from tallymark.store.client import StoreClient

BASELINE = Path(__file__).parent / "baseline"
# For the baseline's store, and for one that makes events: enough that nothing is written to the disk in between.
MEMORY = 4 * 1024**3
# Loading may take its time and memory; questions keep the limits that they have.
PATIENT = {"max_execution_time": 900, "max_memory_usage": 3 * 1024**3}
PASSWORD = "bench"  # noqa: S105 - the store of this run alone knows it


def _serve(folder: Path, ready: Any) -> None:
    # As the server does with its own store: neither gets ahead of the other on a busy machine.
    os.nice(5)
    run_store(folder, 0, PASSWORD, memory_limit_bytes=MEMORY, ready=ready.send)


@contextmanager
def open_store(folder: Path) -> Iterator[StoreClient]:
    """Start a store over a folder, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    reading, writing = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(folder, writing))
    process.start()
    try:
        with StoreClient(f"http://127.0.0.1:{reading.recv()}", password=PASSWORD) as client:
            yield client
    finally:
        process.terminate()
        process.join(60)


@contextmanager
def open_beside(filled: Path, place: Path) -> Iterator[tuple[Server, StoreClient]]:
    """Start a server, at its own settings, over a copy of a filled store, and the plain table's store over another."""
    plain, data = place / "plain", place / "data"
    for folder in (plain, data):
        # Not the lock of the engine that made it.
        shutil.copytree(filled, folder, symlinks=True, ignore=shutil.ignore_patterns("status"))
    with open_store(plain) as client:
        client.command("CREATE DATABASE IF NOT EXISTS plain")
        tables = (BASELINE / "tables.sql").read_text(encoding="utf-8")
        for statement in filter(str.strip, tables.split(";\n")):
            client.command(statement)
        client.command("INSERT INTO plain.events SELECT * FROM tallymark.events", settings=PATIENT)
        client.command("OPTIMIZE TABLE plain.events FINAL", settings=PATIENT)
        client.command("DROP TABLE tallymark.events SYNC")
        with Server(data) as server:
            yield server, client


def run_command(server: Server, *arguments: str) -> list[str]:
    """Run a `tallymark` command on the server's folder; return the words that it prints."""
    command = [str(Path(sys.executable).with_name("tallymark")), *arguments, "--data", str(server.folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
