"""The processes of a server, each started as `python -m tallymark.server.processes ROLE`.

The supervisor hands `Orders` over standard input; a process says "ready" on standard output once it works.
What each does stands here in a few lines; how is in the rooms.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from tallymark.server.lifeline import tie_to_parent
from tallymark.server.logs import set_up_logs
from tallymark.server.orders import Orders


def run_web(orders: Orders) -> None:
    """Serve intake, API and pages."""
    from tallymark.server.app import serve_web  # noqa: PLC0415 - each process loads only what it runs

    serve_web(orders, say_ready)


def run_store(orders: Orders) -> None:
    """Serve the embedded engine."""
    from tallymark.store.chdb_server import run_store as serve_store  # noqa: PLC0415 - chDB is for this process alone

    # The intake answers people; questions and inserts can wait a moment for it.
    os.nice(5)
    config = orders.config
    serve_store(
        Path(config.data),
        orders.store_port,
        orders.store_password,
        memory_limit_bytes=config.find_store_memory(),
        ready=lambda _: say_ready(),
    )


def run_loader(orders: Orders) -> None:
    """Move the journal into the store."""
    from tallymark.server.loading import run_loading  # noqa: PLC0415 - each process loads only what it runs

    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    os.nice(2)
    run_loading(orders, stopping, say_ready)


def run_jobs(orders: Orders) -> None:
    """Judge alerts and tell people."""
    from tallymark.server.jobs import run_jobs as run  # noqa: PLC0415 - each process loads only what it runs

    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    os.nice(3)
    run(orders, stopping, say_ready)


ROLES: dict[str, Callable[[Orders], None]] = {
    "store": run_store,
    "loader": run_loader,
    "web": run_web,
    "jobs": run_jobs,
}


def say_ready(note: str = "") -> None:
    """Tell the supervisor that this process does its work now."""
    os.write(1, f"ready {note}\n".encode())


def main() -> None:
    """Run the role that the command line names."""
    role = sys.argv[1]
    orders = msgspec.json.decode(sys.stdin.buffer.readline(), type=Orders)
    tie_to_parent()
    set_up_logs(orders.config.log_format, orders.config.log_level, role)
    try:
        ROLES[role](orders)
    except Exception:  # noqa: BLE001 - whatever it was: said once in the log, then the supervisor starts anew
        structlog.get_logger("tallymark.server").exception("process_failed", role=role)
        sys.exit(1)


if __name__ == "__main__":
    main()
