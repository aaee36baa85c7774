"""Commands for alerts: how they stand, whether people can be told, when one would have fired. They ask a running server."""

from __future__ import annotations

from typing import Annotated, Any, Final
from urllib.parse import urlencode

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tallymark.alerts.words import STATE_WORDS
from tallymark.errors import TallymarkError
from tallymark.server.cli.ask import DEFAULT_URL, AsJson, Key, Url, request
from tallymark.server.cli.plan import AdminKey

console = Console(highlight=False, soft_wrap=True)

_COLOURS: Final = {"ok": "green", "pending": "yellow", "firing": "red", "no data": "magenta", "error": "red"}
_MOST_SHOWN: Final = 50

application = typer.Typer(no_args_is_help=True, help="Alerts: how they stand, tests, previews.")
receivers = typer.Typer(no_args_is_help=True, help="Receivers: who is told about whose alerts.")


def add_commands(root: typer.Typer) -> None:
    """Add this module's commands."""
    root.add_typer(application, name="alerts")
    root.add_typer(receivers, name="receivers")


@application.command("list")
def list_alerts(url: Url = DEFAULT_URL, key: Key = "", as_json: AsJson = False) -> None:
    """Show how all alerts stand, the worst first."""
    body = request(url, key, "GET", "/v1/alerting")
    if as_json:
        typer.echo(body)
        return
    table = Table("state", "alert", "value", "seen last", "owner", "told")
    for one in msgspec.json.decode(body)["alerts"]:
        for found in one["values"] or [{"state": None, "name": "", "text": "not judged yet"}]:
            table.add_row(
                _paint(found["state"]), escape(one["alert"]), escape(found["name"]), escape(found["text"]),
                escape(one["owner"] or "nobody"),
                ", ".join([*one["receivers"], *(f"[red]{name}?[/]" for name in one["unknown"])]) or "[red]nobody[/]",
            )  # fmt: skip
    console.print(table if table.row_count else "No alert is defined.")


@application.command("test")
def try_alert(
    name: Annotated[str, typer.Argument(help="An alert: its receivers get a test message.")],
    url: Url = DEFAULT_URL,
    key: AdminKey = "",
) -> None:
    """Send a test message to everybody whom an alert would tell; exit code 1 where one did not arrive."""
    alerts = msgspec.json.decode(request(url, key, "GET", "/v1/alerting"))["alerts"]
    found = next((one for one in alerts if one["alert"] == name), None)
    if found is None:
        raise TallymarkError(
            "not_found", f"There is no alert {name!r}. Alerts: {', '.join(one['alert'] for one in alerts)}."
        )
    if not found["receivers"]:
        message = f"Nobody is told about {name!r}. Add a receiver: tallymark receivers add NAME URL --owner {found['owner'] or '*'}"
        raise TallymarkError("no_receiver", message)
    failed = [receiver for receiver in found["receivers"] if not _try(url, key, receiver)]
    if failed:
        raise typer.Exit(1)


@application.command()
def preview(
    name: Annotated[str, typer.Argument(help="An alert.")],
    start: Annotated[
        str, typer.Option("--from", help="Begin, such as 2026-01-01; a week ago without it.")
    ] = "",
    end: Annotated[str, typer.Option("--to", help="End; now without it.")] = "",
    url: Url = DEFAULT_URL,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Show when an alert would have fired in the past."""
    query = urlencode([(one, value) for one, value in (("from", start), ("to", end)) if value])
    body = request(url, key, "GET", f"/v1/alerts/{name}/preview?{query}")
    if as_json:
        typer.echo(body)
        return
    found = msgspec.json.decode(body)
    times = "time" if found["told"] == 1 else "times"
    console.print(f"{found['told']:,} {times} in {found['windows']:,} windows, {found['step']:,} s apart.")
    for note in found["notes"]:
        console.print(f"[dim]{escape(note)}[/]")
    for one in found["stretches"][:_MOST_SHOWN]:
        parts = (one["time"], one["name"], one["text"])
        console.print(" ".join([_paint(one["state"]), *(escape(part) for part in parts if part)]))
    rest = len(found["stretches"]) - _MOST_SHOWN
    if rest > 0:
        console.print(f"and {rest:,} more; --json has them all")


@receivers.command("list")
def list_receivers(url: Url = DEFAULT_URL, key: AdminKey = "") -> None:
    """Show who is told, and whether the last message arrived."""
    table = Table("receiver", "owners", "address", "last message")
    for one in msgspec.json.decode(request(url, key, "GET", "/v1/receivers"))["receivers"]:
        last = f"arrived {one['succeeded_at']}" if one["succeeded_at"] else "none yet"
        if one["failing_since"]:
            last = f"[red]fails since {one['failing_since']}[/]: {escape(one['error'])}"
        table.add_row(escape(one["name"]), escape(", ".join(one["owners"])), escape(one["hint"]), last)
    console.print(table if table.row_count else "Nobody is told yet.")


@receivers.command("add")
def add_receiver(
    name: Annotated[str, typer.Argument(help="A name: a-z, 0-9 and _.")],
    address: Annotated[
        str, typer.Argument(help="Where, as apprise writes it: mailto://..., slack://..., json://...")
    ],
    owners: Annotated[
        list[str], typer.Option("--owner", help="Whose alerts; * for all. May be given several times.")
    ],
    url: Url = DEFAULT_URL,
    key: AdminKey = "",
) -> None:
    """Add a receiver, or give the one of this name another address and other owners."""
    body = msgspec.json.encode({"name": name, "url": address, "owners": owners})
    made = msgspec.json.decode(request(url, key, "POST", "/v1/receivers", body))
    if made["warning"]:
        console.print(f"[yellow]{escape(made['warning'])}[/]")
    console.print(
        f"{escape(made['name'])} is told at {escape(made['hint'])}. Try it: tallymark receivers test {escape(name)}"
    )


@receivers.command("test")
def try_receiver(
    name: Annotated[str, typer.Argument(help="A receiver.")], url: Url = DEFAULT_URL, key: AdminKey = ""
) -> None:
    """Send a test message; exit code 1 where it did not arrive."""
    if not _try(url, key, name):
        raise typer.Exit(1)


@receivers.command("remove")
def remove_receiver(
    name: Annotated[str, typer.Argument(help="A receiver.")], url: Url = DEFAULT_URL, key: AdminKey = ""
) -> None:
    """Take a receiver away."""
    request(url, key, "DELETE", f"/v1/receivers/{name}")
    console.print(f"{escape(name)} is not told any more.")


def _try(url: str, key: str, receiver: str) -> bool:
    answer = msgspec.json.decode(request(url, key, "POST", f"/v1/receivers/{receiver}/test", b"{}"))
    said = "[green]arrived[/]" if answer["arrived"] else f"[red]did not arrive[/]: {escape(answer['error'])}"
    console.print(f"{escape(receiver)}: {said}")
    return bool(answer["arrived"])


def _paint(state: Any) -> str:
    return f"[{_COLOURS.get(state or '', 'dim')}]{STATE_WORDS.get(state, 'not judged')}[/]"
