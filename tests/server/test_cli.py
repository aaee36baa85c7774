"""What `tallymark ledger`, `trace` and the tables of other commands show, and the codes with which they end."""

from __future__ import annotations

import http.server
import json
import subprocess
import threading
from collections.abc import Iterator

import pytest

from tallymark.rules.privacy import RULES

pytestmark = pytest.mark.store

NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def told(server, build_event):
    """Give a server whose ledger has something on several lines, and outside."""
    batch = [
        build_event("cli-1", attributes={"mail": "a@example.org"}),
        build_event("cli-2"),
        {"event_id": 5},
        7,
    ]
    report = json.dumps({"instance": "i-1", "dropped": {"queue_full": 3}})
    assert server.send(batch, headers={"Tallymark-Client-Report": report}).status == 207
    server.send([], key="unknown-key-of-nobody")
    server.wait_loaded()
    server.wait_until(lambda: server.ledger()["outside"]["client_dropped"], "the report is counted")
    server.wait_until(lambda: server.ledger()["outside"]["requests_turned_away"], "the request is counted")
    return server


@pytest.fixture
def unbalanced() -> Iterator[str]:
    """Give the address of a server whose ledger lost an event."""
    lines = {"received": 2, "stored": 1, "refused": {}}
    report = {"totals": lines, "balanced": False, "rows": [], "outside": {"conflicts": 0}}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(report).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as stub:
        thread = threading.Thread(target=stub.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{stub.server_port}"
        stub.shutdown()
        thread.join(30)


def read_lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.strip()]


def test_ledger_shows_every_reason(told):
    """The text has what the JSON has: each code and reason with its number, and all that is outside the equation."""
    done = told.run("ledger")
    lines = read_lines(done.stdout)
    report = json.loads(told.run("ledger", "--json").stdout)

    parts = {**report["totals"], **report["outside"]}
    reasons = [
        [name, *map(str, item)] for name, by in parts.items() if isinstance(by, dict) for item in by.items()
    ]
    plain = [
        [name, str(number)] for name, number in report["outside"].items() if not isinstance(number, dict)
    ]
    assert done.returncode == 0
    assert {row[0] for row in reasons} >= {
        "refused",
        "quarantined",
        "requests_turned_away",
        "client_dropped",
        "scrubbed",
    }
    assert [row for row in reasons + plain if row not in lines] == []
    assert set(report["outside"]) <= {line[0] for line in lines}
    assert lines[-1] == ["balanced"]


def test_ledger_that_does_not_balance(server, unbalanced):
    """Exit code 1 means one thing only: the equation does not hold."""
    for form in ((), ("--json",)):
        assert server.run("ledger", *form, TALLYMARK_URL=unbalanced).returncode == 1
    assert "not balanced" in server.run("ledger", TALLYMARK_URL=unbalanced).stdout


@pytest.mark.parametrize("command", [("ledger",), ("ledger", "--json"), ("trace", "cli-1")])
@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"TALLYMARK_URL": NOBODY}, "tallymark serve"),
        ({"TALLYMARK_READ_KEY": "unknown-key-of-nobody"}, "unauthorized"),
    ],
    ids=["no server", "wrong key"],
)
def test_no_answer(told, command, variables, said):
    """A server that is away and a wrong key end with 2, so that nobody takes them for a ledger that is wrong."""
    done = told.run(*command, **variables)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_trace_of_an_unknown_event(told):
    """Exit code 1 of a trace means that the event is unknown."""
    assert told.run("trace", "cli-1").returncode == 0
    assert told.run("trace", "never-sent").returncode == 1


def test_brackets_are_no_markup(told, build_event):
    """Names, codes and keys with brackets are shown as they are."""
    told.send({**build_event("cli-3"), "event_name": "[/odd]", "event_time": "never"})
    told.wait_loaded()
    data = ("--data", str(told.data))
    told.run("keys", "create", "read", "--name", "[/odd] key", *data)

    shown = [
        told.run("quarantine"),
        told.run("keys", "list", *data),
        told.run("config", "--set", "public_url=http://[/odd]"),
        told.run("query", '{"kind": "[/odd]"}'),
    ]

    assert [("[/odd]" in done.stdout + done.stderr, "Traceback" in done.stderr) for done in shown] == [
        (True, False)
    ] * 4


def test_help_names_the_rules(server):
    """The help of `projects set` names the privacy rules: the docs are not installed with the server."""
    said = server.run("projects", "set", "--help").stdout
    assert [rule for rule in RULES if rule not in said] == []
    assert "docs/" not in said


def _set_password(server, *arguments):
    told = server.command(*arguments, "--data", str(server.data))
    return subprocess.run(
        told,
        input="a long password\n",
        capture_output=True,
        text=True,
        env=server.variables(),
        timeout=60,
        check=False,
    )


def test_a_password_is_set_for_somebody_who_exists(server):
    """A name that nobody has makes nobody: the error says who exists and how to add somebody."""
    refused = _set_password(server, "password", "adm")
    assert refused.returncode == 1
    assert "There is nobody called 'adm'. People: admin." in refused.stderr
    assert "tallymark people add" in refused.stderr
    assert "adm\n" not in _set_password(server, "people", "list").stdout
    assert _set_password(server, "people", "add", "adm").returncode == 0
    again = _set_password(server, "people", "add", "adm")
    assert (again.returncode, "exists already" in again.stderr) == (1, True)
    assert _set_password(server, "password", "adm").returncode == 0
    listed = _set_password(server, "people", "list").stdout
    assert [line.split()[0] for line in listed.splitlines()[1:] if line] == ["adm", "admin"]


@pytest.mark.parametrize("name", ["", " adm", "a\u0085b", "x" * 65])
def test_a_name_that_nobody_could_type_is_refused(server, name):
    """Names are short and can be seen whole."""
    refused = _set_password(server, "people", "add", name)
    assert refused.returncode == 1
    assert "is no name" in refused.stderr
