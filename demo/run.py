"""`make demo`: start a server, send it a year of real flights and a month of sign-ups, define metrics, show where to look.

From then on people sign up live until it ends (`live.py`), for alerts need something that goes wrong now. The server records
its own health in the same project; neither is counted where figures are checked.

With ONCE=1 in the environment it then checks every figure against pandas and exits 0 or 1. A second run starts
at once with the data that is there. Settings: DEMO_DATA (folder), DEMO_PORT.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from figures import check_figures, check_sign_up
from flights import TOTALS, build_events, expected, read_flights
from live import FAILS_AFTER, PLATFORM, Live
from live import SERVICE as LIVE_SERVICE
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from sign_up import EVENT, SERVICE, SESSIONS, build_sign_ups

from tallymark import Client

console = Console(highlight=False)
EVENTS = sum(TOTALS.values())
PROJECT = "default"
# The source of the server's own numbers in the ledger.
OWN = "own"
DEFINITIONS = Path(__file__).parent / "definitions"


def main() -> int:
    """Run the demo; returns the exit code."""
    data = Path(os.environ.get("DEMO_DATA", "demo-data"))
    once = os.environ.get("ONCE", "") not in ("", "0")
    port = int(os.environ.get("DEMO_PORT", "8600"))
    secret = read_secrets(data)
    url = f"http://127.0.0.1:{port}"
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
        # It would be taken for ours.
        sys.exit(f"Something listens at {url} already: end it, or choose another port with DEMO_PORT=8601.")
    # Ended by whatever starts programs, or with its terminal, it ends its server too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    server = start_server(data, port, secret)
    live = None
    try:
        wait_for(url, server)
        live = None if once else Live(Client(url=url, key=secret["write"]))
        if stored_events(url, secret["read"]) < EVENTS:
            send_flights(url, secret)
        if not count_sign_ups(url, secret["read"]):
            send_sign_ups(url, secret)
        define(url, data, secret)
        code = 0
        if live is None:
            code = print_figures(url, secret["read"])
        else:
            live.start()
            show_the_way(url, secret)
            server.wait()
    except KeyboardInterrupt:
        code = 0
    finally:
        if live is not None:
            live.stop()
        stop_server(server)
    return code


def read_secrets(data: Path) -> dict[str, str]:
    """Return the demo's keys and password; made at the first run and kept beside its data."""
    path = data / "demo-secrets.json"
    if not path.exists():
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = {name: secrets.token_urlsafe(24) for name in ("write", "read")} | {
            "password": secrets.token_urlsafe(9)
        }
        path.write_text(json.dumps(made))
        path.chmod(0o600)
    found: dict[str, str] = json.loads(path.read_text())
    return found


def start_server(data: Path, port: int, secret: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start `tallymark serve` as anybody would."""
    environment = os.environ | {
        "TALLYMARK_WRITE_KEY": secret["write"],
        "TALLYMARK_READ_KEY": secret["read"],
        "TALLYMARK_ADMIN_PASSWORD": secret["password"],
    }
    command = [
        str(Path(sys.executable).with_name("tallymark")),
        "serve",
        "--data",
        str(data),
        "--port",
        str(port),
        "--set",
        f"own_project={PROJECT}",
    ]
    # Its own session: Ctrl-C is for the demo, which then stops the server in order.
    return subprocess.Popen(command, env=environment, start_new_session=True)


def stop_server(server: subprocess.Popen[bytes]) -> None:
    """Stop the server in order."""
    server.send_signal(signal.SIGTERM)
    try:
        server.wait(60)
    except subprocess.TimeoutExpired:
        server.kill()


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    """Wait until the server is ready."""
    for _ in range(600):
        if server.poll() is not None:
            sys.exit(server.returncode or 1)
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    sys.exit("The server is not ready after a minute; its lines above say why.")


def ask(url: str, key: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Ask the server's API."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def read_ledger(url: str, key: str) -> dict[str, Any]:
    """Return the whole ledger; its totals are of what was sent, without the server's own numbers."""
    ledger = ask(url, key, "/v1/ledger?from=2020-01-01T00:00:00Z&interval=day")
    sent = [row for row in ledger["rows"] if row["source"] != OWN]
    for line in ("received", "stored", "duplicate", "in_flight"):
        ledger["totals"][line] = sum(row[line] for row in sent)
    return ledger


def wait_loaded(url: str, key: str) -> None:
    """Wait until everything that was sent can be queried."""
    while read_ledger(url, key)["totals"]["in_flight"]:
        time.sleep(0.2)


def count_live(url: str, key: str) -> int:
    """Return how many live events the store holds, of all runs."""
    query = "SELECT count() AS live FROM events WHERE service_name = {service:String} FORMAT JSON"
    answer = ask(url, key, f"/clickhouse/?{urlencode({'query': query, 'param_service': LIVE_SERVICE})}")
    return int(answer["data"][0]["live"])


def stored_events(url: str, key: str) -> int:
    """Return how many of the events that were sent are stored, without live ones."""
    for _ in range(100):
        try:
            stored: int = read_ledger(url, key)["totals"]["stored"] - count_live(url, key)
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise
            time.sleep(0.1)
        else:
            return stored
    return 0


def send_flights(url: str, secret: dict[str, str]) -> None:
    """Send all flights through the client, then wait until they can be queried."""
    console.print("Reading the flights …")
    table = read_flights()
    client = Client(url=url, key=secret["write"]).with_service("flights", version="2013")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    started = time.monotonic()
    with Progress(*columns, console=console) as progress:
        sending = progress.add_task("sending", total=EVENTS)

        def watched() -> Iterator[dict[str, Any]]:
            for number, event in enumerate(build_events(table), 1):
                if number % 5000 == 0:
                    progress.update(sending, completed=number)
                yield event
            progress.update(sending, completed=EVENTS)

        summary = client.send_all(watched())
        sent = time.monotonic() - started
        loading = progress.add_task("loading", total=EVENTS)
        while (totals := read_ledger(url, secret["read"])["totals"])["in_flight"]:
            progress.update(loading, completed=min(EVENTS, totals["stored"]))
            time.sleep(0.2)
        progress.update(loading, completed=min(EVENTS, totals["stored"]))
    whole = time.monotonic() - started
    client.close()
    console.print(
        f"[bold]{summary.sent:,}[/] events acknowledged in {sent:.1f} s ({summary.sent / sent:,.0f} events/s); "
        f"queryable after {whole:.1f} s ({summary.sent / whole:,.0f} events/s)"
    )


def count_sign_ups(url: str, key: str) -> int:
    """Return how many events of the sign-up are stored."""
    of_app = {"field": "service_name", "op": "eq", "value": SERVICE}
    series = [{"name": "n", "event_name": EVENT, "filters": [of_app]}]
    question = {"kind": "trend", "from": "2026-06-01", "to": "2026-06-29", "series": series}
    rows = ask(url, key, "/v1/query", question)["rows"]
    return int(rows[0][0]) if rows else 0


def send_sign_ups(url: str, secret: dict[str, str]) -> None:
    """Send the sign-up's sessions, and wait until they can be queried."""
    with Client(url=url, key=secret["write"]) as client:
        summary = client.send_all(build_sign_ups(SESSIONS))
    wait_loaded(url, secret["read"])
    console.print(f"[bold]{summary.sent:,}[/] events of {SESSIONS:,} sign-ups")


def define(url: str, data: Path, secret: dict[str, str]) -> None:
    """Apply the metrics, dashboards and alerts of demo/definitions, as anybody would."""
    command = str(Path(sys.executable).with_name("tallymark"))
    if "admin" not in secret:
        made = subprocess.run(
            [command, "keys", "create", "admin", "--data", str(data)],
            capture_output=True,
            text=True,
            check=True,
        )
        secret["admin"] = made.stdout.split()[-1]
        (data / "demo-secrets.json").write_text(json.dumps(secret))
    environment = os.environ | {"TALLYMARK_URL": url, "TALLYMARK_ADMIN_KEY": secret["admin"]}
    # A server notices a new key within a second.
    for _ in range(50):
        done = subprocess.run(
            [command, "apply", str(DEFINITIONS)], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode == 0 or "unauthorized" not in done.stderr:
            break
        time.sleep(0.1)
    console.print((done.stdout + done.stderr).strip().splitlines()[-1] + f" ({DEFINITIONS.name})")


def print_figures(url: str, key: str) -> int:
    """Check and print all figures and the ledger; returns the exit code."""
    wrong = 0
    figures = [
        *check_figures(lambda question: ask(url, key, "/v1/query", question), expected(read_flights())),
        *check_sign_up(lambda path: ask(url, key, path), list(build_sign_ups(SESSIONS))),
    ]
    for figure in figures:
        wrong += not figure.right
        shown = figure.answer if not isinstance(figure.answer, dict) else f"{len(figure.answer)} values"
        mark = "[green]equal[/]" if figure.right else f"[bold red]differs[/] (pandas: {figure.expected})"
        console.print(f"{figure.name:42} {shown!s:>28}  {mark}", soft_wrap=True)
    wait_loaded(url, key)
    ledger = read_ledger(url, key)
    totals = ledger["totals"]
    events = EVENTS + sum(1 for _ in build_sign_ups(SESSIONS))
    # Live ones are as many as the store holds: what the ledger has beyond them must be what is checked, to the event.
    live = count_live(url, key)
    right = ledger["balanced"] and totals["stored"] - live == events and not totals["in_flight"]
    wrong += not right
    console.print(
        f"{'ledger':42} received {totals['received']:,} = stored {totals['stored']:,} + duplicate {totals['duplicate']:,}"
        f"{f', {live:,} of them live' if live else ''}  {'[green]balanced[/]' if right else '[bold red]wrong[/]'}",
        soft_wrap=True,
    )
    console.print(
        "[green]all figures are right[/]" if not wrong else f"[bold red]{wrong} figures are wrong[/]"
    )
    return 1 if wrong else 0


def show_the_way(url: str, secret: dict[str, str]) -> None:
    """Print where to look."""
    console.print(
        f"\n  [bold]{url}[/]   sign in as [bold]admin[/] with [bold]{secret['password']}[/]\n", soft_wrap=True
    )
    console.print(
        f"  TALLYMARK_URL={url} TALLYMARK_READ_KEY={secret['read']} .venv/bin/tallymark ledger\n",
        soft_wrap=True,
    )
    console.print(f"  How the server itself does: {url}/dashboard?name=health\n", soft_wrap=True)
    minutes = FAILS_AFTER.total_seconds() / 60
    console.print(
        f"  In {minutes:g} minutes the SMS code fails on {PLATFORM}, for a while: watch it at {url}/alerts\n",
        soft_wrap=True,
    )
    console.print("  Ctrl-C ends it; 'make demo' starts again at once with what is there.\n")


if __name__ == "__main__":
    sys.exit(main())
