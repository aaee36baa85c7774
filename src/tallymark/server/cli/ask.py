"""Commands that ask a running server: query, ledger, trace, sql, quarantine. They need a read key."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
import typer
import urllib3
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tallymark.errors import TallymarkError
from tallymark.queries.parse import KIND_NAMES

console = Console(highlight=False)

Url = Annotated[str, typer.Option("--url", envvar="TALLYMARK_URL", help="Address of the server.")]
Key = Annotated[str, typer.Option("--key", envvar="TALLYMARK_READ_KEY", help="A read key of the project.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
DEFAULT_URL = "http://127.0.0.1:8600"


class NoAnswer(TallymarkError):
    """A command whose exit code 1 is an answer did not get one: it ends with 2."""


def add_commands(application: typer.Typer) -> None:
    """Add this module's commands."""
    application.command(help=f"Ask a question of one of the kinds {', '.join(KIND_NAMES)}.")(query)
    for command in (ledger, trace, sql, quarantine):
        application.command()(command)


def request(
    url: str, key: str, method: str, path: str, body: bytes = b"", accept: str = "application/json"
) -> bytes:
    """Ask the server; raises TallymarkError with its code and message."""
    headers = {"Authorization": f"Bearer {key}", "Accept": accept}
    try:
        answer = urllib3.request(
            method,
            url.rstrip("/") + path,
            headers=headers,
            body=body or None,
            timeout=600,
            retries=False,
            redirect=False,
        )
    except urllib3.exceptions.HTTPError as error:
        message = f"No server answers at {url}. Start one with 'tallymark serve', or give --url. ({error})"
        raise TallymarkError("server_unreachable", message) from error
    if answer.status >= 400:
        raise _parse_error(answer.status, answer.data)
    return answer.data


def _require_answer(url: str, key: str, path: str) -> bytes:
    try:
        return request(url, key, "GET", path)
    except TallymarkError as error:
        raise NoAnswer(error.code, error.message, at=error.at) from error


def _parse_error(status: int, data: bytes) -> TallymarkError:
    try:
        body = msgspec.json.decode(data)
        return TallymarkError(body["code"], body["message"], at=body.get("at", ""))
    except (msgspec.MsgspecError, KeyError, TypeError, UnicodeDecodeError):
        return TallymarkError(f"http_{status}", data.decode("utf-8", "replace").strip()[:2000])


def query(
    question: Annotated[
        str, typer.Argument(help="The question as JSON, a file that holds it, or - for standard input.")
    ],
    output: Annotated[str, typer.Option("--format", help="table, json, ndjson or csv.")] = "table",
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Ask a question; its kinds are told by `add_commands`."""
    raw = _read_argument(question)
    accept = {
        "table": "application/json",
        "json": "application/json",
        "ndjson": "application/x-ndjson",
        "csv": "text/csv",
    }
    if output not in accept:
        raise typer.BadParameter(f"{output!r} is none of {', '.join(accept)}", param_hint="--format")
    answer = request(url, key, "POST", "/v1/query", raw, accept[output])
    if output != "table":
        sys.stdout.write(answer.decode())
        return
    body = msgspec.json.decode(answer)
    _print_table([column["name"] for column in body["columns"]], body["rows"])
    for note in body["notes"]:
        console.print(f"[yellow]note[/] {escape(note)}")


def ledger(
    start: Annotated[str, typer.Option("--from", help="ISO 8601; default: a day ago.")] = "",
    end: Annotated[str, typer.Option("--to", help="ISO 8601, exclusive.")] = "",
    interval: Annotated[str, typer.Option(help="minute, hour or day.")] = "hour",
    json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Show what became of every event. Exit codes: 0 balanced, 1 not balanced, 2 the server gave no answer."""
    fields = {name: value for name, value in (("from", start), ("to", end), ("interval", interval)) if value}
    answer = _require_answer(url, key, f"/v1/ledger?{urlencode(fields)}")
    body = msgspec.json.decode(answer)
    if json:
        sys.stdout.write(answer.decode() + "\n")
    else:
        _print_ledger(body)
    if not body["balanced"]:
        raise typer.Exit(1)


def _print_ledger(body: dict[str, Any]) -> None:
    lines = body["totals"]
    rows = [[row["time"], row["source"], *(_sum(row[name]) for name in lines)] for row in body["rows"]]
    _print_table(["time", "source", *lines], [*rows, ["total", "", *map(_sum, lines.values())]])
    reasons = [row for name, count in lines.items() if isinstance(count, dict) for row in _list(name, count)]
    if reasons:
        console.print()
        _print_table(["line", "code or reason", "events"], reasons)
    console.print()
    outside = [
        row for name, count in body["outside"].items() for row in _list(name, count) or [[name, "", 0]]
    ]
    _print_table(["outside the equation", "code or reason", "number"], outside)
    console.print()
    console.print("[green]balanced[/]" if body["balanced"] else "[bold red]not balanced[/]")


def _list(name: str, count: int | dict[str, int]) -> list[list[Any]]:
    if not isinstance(count, dict):
        return [[name, "", count]]
    return [[name, reason, number] for reason, number in count.items()]


def trace(event_id: str, json: AsJson = False, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Follow one event. Exit codes: 0 known, 1 unknown, 2 the server gave no answer."""
    answer = _require_answer(url, key, f"/v1/trace?{urlencode({'event_id': event_id})}")
    body = msgspec.json.decode(answer)
    if json:
        sys.stdout.write(answer.decode() + "\n")
    else:
        console.print(f"[bold]{body['verdict']}[/] {escape(body['message'])}", soft_wrap=True)
        columns = ["time", "station", "verdict", "reason", "source", "journal_record", "detail"]
        _print_table(columns, [[station[name] for name in columns] for station in body["stations"]])
    if body["verdict"] == "unknown":
        raise typer.Exit(1)


def sql(
    statement: Annotated[
        str, typer.Argument(help="A SELECT over the table events, or - for standard input.")
    ],
    output: Annotated[
        str, typer.Option("--format", help="Any output format of ClickHouse.")
    ] = "PrettyCompact",
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Run SQL over the project's events, read-only."""
    text = _read_argument(statement) if statement == "-" else statement.encode()
    answer = request(url, key, "POST", f"/clickhouse/?{urlencode({'default_format': output})}", text, "*/*")
    sys.stdout.write(answer.decode("utf-8", "replace"))


def quarantine(
    code: Annotated[str, typer.Option(help="Only events with this code.")] = "",
    replay: Annotated[
        bool, typer.Option("--replay", help="Send them through the intake again (admin key).")
    ] = False,
    json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
    admin_key: Annotated[
        str, typer.Option(envvar="TALLYMARK_ADMIN_KEY", help="An admin key, for --replay.")
    ] = "",
) -> None:
    """Show what failed and was kept, or replay it after a fix."""
    if replay:
        order = msgspec.json.encode({"code": code})
        answer = request(url, admin_key or key, "POST", "/v1/quarantine/replay", order)
        if json:
            sys.stdout.write(answer.decode() + "\n")
            return
        told = msgspec.json.decode(answer)
        console.print(f"{told['accepted']} accepted, {len(told['rejected'])} failed again")
        columns = ["index", "code", "message", "at"]
        if told["rejected"]:
            _print_table(["id", *columns[1:]], [[one[name] for name in columns] for one in told["rejected"]])
        return
    answer = request(url, key, "GET", f"/v1/quarantine?{urlencode({'code': code})}")
    if json:
        sys.stdout.write(answer.decode() + "\n")
        return
    found = msgspec.json.decode(answer)
    _print_table(
        ["code", "events", "replayed", "newest"], [list(count.values()) for count in found["counts"]]
    )
    columns = ["id", "received_at", "code", "event_name", "message"]
    _print_table(columns, [[event[name] for name in columns] for event in found["events"]])


def _read_argument(text: str) -> bytes:
    if text == "-":
        return sys.stdin.buffer.read()
    if text.lstrip().startswith("{"):
        return text.encode()
    path = Path(text)
    if not path.exists():
        raise TallymarkError("no_such_file", f"There is no file {text!r}, and it is no JSON object either.")
    return path.read_bytes()


def _print_table(columns: list[str], rows: list[list[Any]]) -> None:
    table = Table(*map(escape, columns), box=None, pad_edge=False)
    for row in rows:
        # As Text: what stands in brackets is data, not markup.
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    # A pipe has no width: cells must not be cut there.
    (
        console
        if sys.stdout.isatty()
        else Console(width=int(os.environ.get("COLUMNS", "240")), highlight=False)
    ).print(table)


def _sum(value: Any) -> int:
    return sum(value.values()) if isinstance(value, dict) else value
