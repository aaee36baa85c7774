"""Commands on the journal: whether it is sound, its new events as they come, and who reads it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tallymark.errors import TallymarkError
from tallymark.journal.judged import JudgedRecord
from tallymark.server.cli.serve import ConfigFile, Data
from tallymark.server.config import load_config
from tallymark.server.orders import DataPaths, find_paths

if TYPE_CHECKING:
    from tallymark.ledger.readers import ReaderLimits

console = Console(highlight=False)
journal_group = typer.Typer(help="The journal on disk.", no_args_is_help=True)
readers_group = typer.Typer(help="Who follows the journal, and how far each has come.", no_args_is_help=True)
journal_group.add_typer(readers_group, name="readers")

_READ_BYTES: Final = 4 * 1024 * 1024
_POLL_SECONDS: Final = 0.1
_DAY: Final = 24 * 3600


class Begin(StrEnum):
    """Where a new reader begins."""

    EARLIEST = "earliest"
    LATEST = "latest"


def _find_journal(data: str | None, config_file: Path | None) -> DataPaths:
    config, _ = load_config({"data": data}, file=config_file)
    paths = find_paths(config.data)
    if not paths.journal.exists():
        raise TallymarkError(
            "no_data_folder", f"There is no journal at {paths.journal}. Give the data folder with --data."
        )
    return paths


@journal_group.command("verify")
def verify_journal(data: Data = None, config_file: ConfigFile = None) -> None:
    """Read every record and check it; exit code 1 when something is damaged."""
    from tallymark.journal.reader import SegmentReader  # noqa: PLC0415 - slow to load
    from tallymark.journal.verdicts import VerdictReader  # noqa: PLC0415 - the same
    from tallymark.journal.verify import verify_shard, verify_verdicts  # noqa: PLC0415 - the same

    shard = _find_journal(data, config_file).journal
    report = verify_shard(shard, SegmentReader(shard).durable_number())
    verify_verdicts(report, shard, VerdictReader(shard).end())
    console.print(
        f"{report.segments} segments, {report.records} records ({report.first_number} to {report.last_number}), "
        f"{report.events} events, {report.bytes} bytes, {report.abandoned_records} abandoned records, "
        f"judged up to record {report.judged_number}"
    )
    for problem in report.problems:
        console.print(f"[red]damaged[/] {escape(str(problem))}")
    if report.problems:
        raise typer.Exit(1)
    console.print("[green]sound[/]")


@journal_group.command("follow")
def follow_journal(
    reader: Annotated[str, typer.Option(help="The name under which the position is kept.")],
    begin: Annotated[Begin, typer.Option("--from", help="Where a new reader begins.")] = Begin.EARLIEST,
    project: Annotated[str, typer.Option(help="Print the events of this project only.")] = "",
    once: Annotated[bool, typer.Option("--once", help="End when everything is printed.")] = False,
    limit_gb: Annotated[
        float | None, typer.Option(help="Keep the journal for this reader up to so many GB; 0 for no limit.")
    ] = None,
    limit_days: Annotated[
        float | None, typer.Option(help="Keep the journal for this reader for so many days; 0 for no limit.")
    ] = None,
    data: Data = None,
    config_file: ConfigFile = None,
) -> None:
    """Print new events as NDJSON with their position, as they come; the next run goes on where this one ended.

    Each event is printed at least once: after a crash the last ones may come again, with the same position.
    """
    from tallymark.ledger.following import JournalFollower  # noqa: PLC0415 - slow to load
    from tallymark.ledger.readers import (  # noqa: PLC0415 - the same
        DEFAULT_LIMIT_BYTES,
        DEFAULT_LIMIT_SECONDS,
        ReaderLimits,
    )

    paths = _find_journal(data, config_file)
    limits = None
    if limit_gb is not None or limit_days is not None:
        limits = ReaderLimits(
            DEFAULT_LIMIT_BYTES if limit_gb is None else int(limit_gb * 1e9),
            DEFAULT_LIMIT_SECONDS if limit_days is None else int(limit_days * _DAY),
        )
    follower = JournalFollower(
        paths.journal, paths.readers, reader, from_end=begin is Begin.LATEST, limits=limits
    )
    with closing(follower):
        while True:
            before = follower.position
            judged = follower.read(_READ_BYTES)
            for line in (line for item in judged for line in _render_lines(item, project)):
                sys.stdout.write(line + "\n")
            sys.stdout.flush()
            follower.commit()
            if follower.position == before:
                if once:
                    return
                time.sleep(_POLL_SECONDS)


def _render_lines(item: JudgedRecord, project: str) -> Iterator[str]:
    """Return a line of JSON for each new event of a record."""
    heading = item.record.heading
    if project and heading.project != project:
        return
    received_at = datetime.fromtimestamp(heading.received_us / 1e6, UTC)
    for index, row in enumerate(item.record.rows.split(b"\n")):
        if not row or item.verdicts[index]:
            continue
        event: dict[str, Any] = msgspec.json.decode(row)
        if heading.skew_ms:
            corrected = datetime.fromisoformat(event["event_time"]) + timedelta(milliseconds=heading.skew_ms)
            event["event_time"] = corrected
        position = {"shard": item.record.shard, "record": item.record.number, "index": index}
        line = {
            "position": position,
            "project": heading.project,
            "source": heading.source,
            "received_at": received_at,
            "event": event,
        }
        yield msgspec.json.encode(line).decode()


@readers_group.command("list")
def list_readers(data: Data = None, config_file: ConfigFile = None) -> None:
    """List all readers with their positions, and the new events that they passed, lost and have before them."""
    from tallymark.journal.verdicts import VerdictReader  # noqa: PLC0415 - slow to load
    from tallymark.ledger.readers import STORE_READER, Readers, ReaderTotals, count_new  # noqa: PLC0415 - the same
    from tallymark.ledger.report import read_cursor  # noqa: PLC0415 - the same

    paths = _find_journal(data, config_file)
    table = Table(
        "reader",
        "record",
        "passed",
        "lost",
        "damaged",
        "in flight",
        "moved",
        "limits",
        box=None,
        pad_edge=False,
    )
    with closing(Readers(paths.readers)) as readers, closing(VerdictReader(paths.journal)) as log:

        def count_waiting(record: int) -> str:
            return f"{count_new(log.read(record)).total():,}"

        cursor = read_cursor(paths.ledger)
        # Its lines are the ledger itself.
        table.add_row(STORE_READER, str(cursor), "–", "–", "–", count_waiting(cursor), "", "none")
        totals = readers.count_totals()
        for state in readers.list_states():
            counted = totals.get(state.name, ReaderTotals())
            table.add_row(
                state.name,
                str(state.record),
                *(f"{events:,}" for events in (counted.passed, counted.lost, counted.damaged)),
                count_waiting(state.record),
                f"{datetime.fromtimestamp(state.moved_us / 1e6, UTC):%Y-%m-%d %H:%M}",
                _render_limits(state.limits),
            )
    console.print(table)


def _render_limits(limits: ReaderLimits) -> str:
    parts = [f"{limits.bytes / 1e9:g} GB"] if limits.bytes else []
    parts += [f"{limits.seconds / _DAY:g} d"] if limits.seconds else []
    return ", ".join(parts) or "none"


@readers_group.command("remove")
def remove_reader(name: str, data: Data = None, config_file: ConfigFile = None) -> None:
    """Forget a reader: the journal is no longer kept for it."""
    from tallymark.ledger.readers import Readers  # noqa: PLC0415 - slow to load

    with closing(Readers(_find_journal(data, config_file).readers)) as readers:
        readers.remove(name)
    console.print(f"reader {escape(name)} is removed")
