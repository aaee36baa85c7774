"""What the README and the docs tell people to type works as it stands there, or it is said here why nobody tried."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import get_args

import msgspec
import pytest
import typer

from tallymark import Client
from tallymark.plan.kinds.alert import Alert, Condition, NoData
from tallymark.plan.kinds.dashboard import Dashboard, Panel, PanelKind
from tallymark.plan.kinds.metric import Metric
from tallymark.plan.yaml_text import parse_yaml
from tallymark.server.cli import application
from tallymark.server.config import load_config

ROOT = Path(__file__).parents[2]
PAGES = sorted(str(path.relative_to(ROOT)) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)

# (page, language, words of the block) → the test that runs it.
RUN = {
    ("README.md", "bash", "tallymark serve"): "tests/docs/test_commands.py::test_first_start",
    ("docs/getting-started.md", "bash", "curl"): "tests/docs/test_commands.py::test_first_event",
    ("docs/getting-started.md", "bash", "tallymark query"): "tests/docs/test_commands.py::test_first_event",
    ("docs/getting-started.md", "python", "Client"): "tests/docs/test_commands.py::test_first_client",
    ("docs/operations.md", "bash", "tallymark serve"): "tests/docs/test_commands.py::test_first_start",
    ("docs/operations.md", "bash", "tallymark backup"): "tests/docs/test_commands.py::test_backup_and_restore",
    ("docs/operations.md", "bash", "cp -a"): "tests/docs/test_commands.py::test_backup_and_restore",
    ("docs/operations.md", "bash", "tallymark sql"): "tests/docs/test_commands.py::test_backup_and_restore",
    ("docs/ledger.md", "bash", "journal follow"): "tests/docs/test_commands.py::test_following_the_journal",
    ("docs/operations.md", "nginx", "location"): "tests/browser/test_behind_proxy.py::test_below_a_path",
    ("docs/operations.md", "toml", "own_project"): "tests/docs/test_commands.py::test_own_project",
    ("docs/privacy.md", "bash", "privacy-off"): "tests/docs/test_commands.py::test_privacy_switches",
    ("docs/getting-started.md", "yaml", "departure_rate"): "tests/docs/test_commands.py::test_first_metric",
    ("docs/metrics.md", "yaml", "metrics:"): "tests/docs/test_commands.py::test_metrics",
    ("docs/getting-started.md", "bash", "keys create admin"): "tests/docs/test_commands.py::test_admin_key",
    ("docs/metrics.md", "bash", "keys create admin"): "tests/docs/test_commands.py::test_admin_key",
    ("docs/metrics.md", "bash", "curl"): "tests/docs/test_commands.py::test_metrics",
    ("docs/metrics.md", "yaml", "scrape_configs"): "tests/journeys/test_prometheus.py::test_prometheus_scrapes_figures",
    ("docs/dashboards.md", "yaml", "dashboards:"): "tests/docs/test_commands.py::test_metrics",
    ("docs/alerts.md", "yaml", "alerts:"): "tests/docs/test_commands.py::test_alerts",
    ("docs/alerts.md", "yaml", "rotas:"): "tests/docs/test_commands.py::test_alerts",
    ("docs/alerts.md", "bash", "alerts preview"): "tests/docs/test_commands.py::test_alerts",
    ("docs/alerts.md", "bash", "receivers add"): "tests/docs/test_commands.py::test_alerts",
    ("docs/alerts.md", "toml", "alert_inward"): "tests/docs/test_commands.py::test_inward_setting",
    ("docs/embedding.md", "bash", "v1/embeds"): "tests/docs/test_commands.py::test_metrics",
    ("docs/embedding.md", "toml", "embed_ancestors"): "tests/docs/test_commands.py::test_embedding_setting",
    ("docs/client.md", "python", ""): "tests/client/test_docs.py::test_the_code_of_the_page_runs",
    ("docs/client.md", "yaml", "metrics:"): "tests/client/test_host.py::test_metrics_of_the_page",
    ("docs/clickhouse-interface.md", "python", "create_engine"): "tests/journeys/test_sqlalchemy.py::test_the_pages_example",
    ("docs/posthog.md", "python", "Posthog"): "tests/journeys/test_posthog.py::test_the_pages_examples",
    ("docs/posthog.md", "js", "posthog-node"): "tests/journeys/test_posthog.py::test_the_pages_examples",
    ("docs/questions.md", "json", ""): "tests/queries/test_docs.py::test_the_examples_are_answered",
}  # fmt: skip

# Lines that no test runs, and why.
NOT_RUN = {
    r"pip install '(tallymark|\.)\[server\]'": "tests/client/test_install.py installs this folder",
    r"make demo .*": "tests/journeys/test_flights.py does what it does, without the pages",
    r"make (setup|check|test) .*": "this test is a part of it: .ci/run runs them",
    r"tallymark (receivers test|alerts test) .*": "nobody outside is told by a test; tests/journeys/test_alerts.py tells real servers",
    r"received = stored .*": "an equation, no command",
    r"new = passed .*": "the same",
}


def read_blocks(page: str, language: str, holding: str) -> list[str]:
    """Return the code blocks of a page that hold a text."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [body for kind, body in _BLOCK.findall(text) if kind == language and holding in body]


def leave_out(block: str) -> str:
    """Return a block without the lines of NOT_RUN."""
    kept = [line for line in block.splitlines() if not any(re.fullmatch(one, line) for one in NOT_RUN)]
    return "\n".join(kept).strip()


def run_block(server, block: str) -> str:
    """Run a block in bash, as a person beside this server would."""
    environment = {
        **server.variables(),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TALLYMARK_URL": server.url,
        "TALLYMARK_DATA": str(server.data),
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.replace("http://127.0.0.1:8600", server.url)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, (block, done.stdout, done.stderr)
    return done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_tried(page):
    """Each block of each page is run by one test that exists, or each of its lines has a reason why not."""
    for language, block in _BLOCK.findall((ROOT / page).read_text(encoding="utf-8")):
        if not leave_out(block):
            continue
        tests = [test for key, test in RUN.items() if key[:2] == (page, language) and key[2] in block]
        assert len(tests) == 1, f"{page}: {len(tests)} tests are named for this block:\n{block}"
        path, name = tests[0].split("::")
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), tests[0]


def test_nothing_is_named_in_vain():
    """Every entry of the two lists is about something that stands on a page."""
    text = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    assert [key for key in RUN if not read_blocks(*key)] == []
    assert [one for one in NOT_RUN if not re.search(f"^{one}$", text, re.MULTILINE)] == []


@pytest.mark.store
@pytest.mark.parametrize("page", ["README.md", "docs/operations.md"])
def test_first_start(make_server, build_event, page):
    """The command starts a server in the named folder, which shows the password once, and keys that work."""
    (block,) = read_blocks(page, "bash", "tallymark serve")
    server = make_server()
    line = (
        leave_out(block)
        .replace("/srv/tallymark", shlex.quote(str(server.data)))
        .replace("8600", str(server.port))
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TALLYMARK_")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    with (server.folder / "server.log").open("wb") as log:
        server.process = subprocess.Popen(
            ["bash", "-c", f"exec {line}"], cwd=server.folder, env=environment, stdout=log, stderr=log
        )
    server.wait_ready()
    shown = dict(
        re.findall(r"^(write key|read key|password) of .* \(shown once\): (\S+)$", server.log, re.MULTILINE)
    )

    assert server.send([build_event("first-1")], key=shown["write key"]).status == 200
    assert server.wait_loaded(shown["read key"])["totals"]["stored"] == 1
    assert shown["password"]
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0


@pytest.mark.store
def test_first_event(server):
    """The page's curl and commands, in its order, give what it says."""
    (sending,) = read_blocks("docs/getting-started.md", "bash", "curl")
    (asking,) = read_blocks("docs/getting-started.md", "bash", "tallymark query")

    sent = run_block(server, sending)
    server.wait_loaded()
    answered = run_block(server, asking)

    assert '{"accepted":1,"rejected":[]}' in sent
    assert "49.9" in answered
    assert "stored" in answered
    assert "balanced" in answered
    assert "order_paid" in answered


@pytest.mark.store
def test_first_client(server):
    """The page's client records and times."""
    (code,) = read_blocks("docs/getting-started.md", "python", "Client")
    code = code.replace("http://127.0.0.1:8600", server.url).replace('"..."', f'"{server.write_key}"')

    names: dict[str, Client] = {}
    exec(code, names)  # noqa: S102 - the page's own code is what is tested

    assert names["client"].flush(timeout=30)
    names["client"].close()
    server.wait_loaded()
    assert {"order_paid", "checkout"} <= {
        row[0] for row in server.sql("SELECT DISTINCT event_name FROM events")
    }


@pytest.mark.store
def test_following_the_journal(server, build_event):
    """Following prints the new events with their places, the list shows how far the reader is, and removing ends it."""
    (block,) = read_blocks("docs/ledger.md", "bash", "journal follow")
    server.send([build_event("followed-by-the-page")])
    server.wait_loaded()
    said = run_block(server, block).splitlines()
    lines = [json.loads(line) for line in said if line.startswith("{")]
    assert "followed-by-the-page" in [line["event"]["event_id"] for line in lines]
    assert set(lines[0]) == {"position", "project", "source", "received_at", "event"}
    assert [line.split()[0] for line in said[len(lines) :]] == ["reader", "store", "exports", "reader"]


def test_backup_and_restore(make_server, build_event, monkeypatch, tmp_path):
    """docs/operations.md: the backup, a folder that is damaged after it, the restore, and the comparison at the end."""
    copying, restoring, comparing = (
        read_blocks("docs/operations.md", "bash", words)[0]
        for words in ("tallymark backup", "cp -a", "tallymark sql")
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    server = make_server(loader_linger_seconds=0.05).start()
    server.send([build_event(f"kept-{number}") for number in range(3)])
    server.wait_loaded()

    said = run_block(server, copying)
    (made,) = tmp_path.iterdir()
    server.send([build_event("after-the-backup")])
    server.wait_loaded()
    server.stop()
    shutil.rmtree(server.data / "store")
    run_block(server, restoring)
    server.start()
    totals = server.wait_loaded()["totals"]
    compared = run_block(server, comparing)

    assert str(made) in said
    assert {
        "catalog.sqlite",
        "dedup",
        "journal",
        "ledger.sqlite",
        "readers.sqlite",
        "sealing.key",
        "store",
    } == {one.name for one in made.iterdir()}
    assert totals["stored"] == 3
    assert compared.index("balanced") < compared.index("count()")
    assert re.findall(r"\d+", compared)[-1] == "3"
    assert {row[0] for row in server.sql("SELECT event_id FROM events")} == {"kept-0", "kept-1", "kept-2"}


@pytest.mark.store
def test_privacy_switches(server):
    """The commands of docs/privacy.md switch rules off and on."""
    (block,) = read_blocks("docs/privacy.md", "bash", "privacy-off")

    first, second = (run_block(server, line) for line in block.strip().splitlines())

    assert "default is changed" in first
    assert "default is changed" in second


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_the_text(page):
    """Every `tallymark` command that a sentence, a table or a block names exists, with the options that stand behind it."""
    text = (ROOT / page).read_text(encoding="utf-8")
    assert len(typer.main.get_command(application).commands) > 5
    blocks = [line for kind, body in _BLOCK.findall(text) if kind == "bash" for line in body.splitlines()]
    named = re.findall(r"`(tallymark [^`]+)`", _BLOCK.sub("", text)) + [
        line for line in blocks if line.startswith("tallymark ") and line.count("'") % 2 == 0
    ]
    for line in named:
        command, words = typer.main.get_command(application), shlex.split(line, comments=True)[1:]
        while words and hasattr(command, "commands"):
            name = words.pop(0)
            assert name in command.commands, line
            command = command.commands[name]
        options = {name for each in command.params for name in each.opts}
        assert {word for word in words if word.startswith("--")} <= options, line


def test_make_lists_its_targets():
    """Every `make` target that a page names exists."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    text = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)

    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE))

    assert {"demo", "test", "bench"} <= named
    assert {name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)} == set()


def test_make_test_without_the_tools(tmp_path):
    """`make test` wants the tools that tests drive; where they cannot be had it names them and goes on."""
    make = shutil.which("make")
    assert make
    (tmp_path / "bash").symlink_to("/bin/bash")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    done = subprocess.run(
        [make, "tools"], cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=60
    )

    assert re.search(r"^test: .*\btools\b", makefile, re.MULTILINE)
    assert re.search(r"^test-all: .*\btools\b", makefile, re.MULTILINE)
    assert done.returncode == 0, done.stderr
    assert ("no Chromium" in done.stdout, "no strace" in done.stdout) == (True, True)
    assert "please install: strace" in done.stderr


def test_metrics(server, tmp_path, build_event):
    """The file of the page about metrics is applied as it stands, and its curl gives figures of it."""
    day = {"event_time": "2026-01-10T12:00:00Z", "session_id": "one"}
    server.send(
        [build_event(f"shop-{name}", event_name=name, **day) for name in ("order_placed", "page_viewed")]
    )
    server.wait_loaded()
    (text,) = read_blocks("docs/metrics.md", "yaml", "metrics:")
    (board,) = read_blocks("docs/dashboards.md", "yaml", "dashboards:")
    (tmp_path / "shop.yaml").write_text(text)
    (tmp_path / "board.yaml").write_text(board)
    apply = ("apply", str(tmp_path), "--origin", "page")
    done = server.run(*apply, TALLYMARK_ADMIN_KEY=server.admin_key)
    assert done.returncode == 0, done.stdout + done.stderr
    (command,) = read_blocks("docs/metrics.md", "bash", "curl")
    figures = json.loads(run_block(server, command))["figures"]
    assert (figures["metric"], len(figures["rows"])) == ("order_rate", 31)
    assert [row[1] for row in figures["rows"] if row[1] is not None] == [1.0]
    (command,) = read_blocks("docs/embedding.md", "bash", "v1/embeds")
    embed = json.loads(run_block(server, command.replace("$TALLYMARK_ADMIN_KEY", server.admin_key)))
    assert server.request("GET", embed["url"].removeprefix(server.url)).status == 200
    for file in ("shop.yaml", "board.yaml"):
        (tmp_path / file).write_text("")
    assert server.run(*apply, TALLYMARK_ADMIN_KEY=server.admin_key).returncode == 0


@pytest.mark.store
@pytest.mark.parametrize("page", ["docs/getting-started.md", "docs/metrics.md"])
def test_admin_key(server, tmp_path, page):
    """The command makes the key that apply needs, and apply runs with it as the next command of the same shell."""
    (block,) = read_blocks(page, "bash", "keys create admin")
    (tmp_path / "a.yaml").write_text("metrics: []\n")
    block = block.replace("/srv/tallymark", shlex.quote(str(server.data)))
    # A running server knows a new key within a second.
    wait = 'until curl -sf $TALLYMARK_URL/v1/keys -H "Authorization: Bearer $TALLYMARK_ADMIN_KEY" >/dev/null; do sleep 0.1; done'
    said = run_block(server, f"{block}\n{wait}\ntallymark apply {shlex.quote(str(tmp_path))} --origin keyed")
    assert "Applied." in said or "0 to change" in said


def test_first_metric():
    """The metric of the page is the one that the demo applies."""
    (text,) = read_blocks("docs/getting-started.md", "yaml", "departure_rate")
    (shown,) = parse_yaml(text).value["metrics"]
    applied = parse_yaml((ROOT / "demo/definitions/flights.yaml").read_text(encoding="utf-8")).value[
        "metrics"
    ]
    (found,) = [one for one in applied if one["name"] == shown["name"]]
    assert shown.items() <= found.items()


@pytest.mark.store
def test_alerts(server, tmp_path, monkeypatch):
    """The definitions of the page are applied, and its commands list, replay and add as they stand there."""
    folder = tmp_path / "metrics"
    folder.mkdir()
    (text,) = read_blocks("docs/alerts.md", "yaml", "alerts:")
    (folder / "shop.yaml").write_text(text)
    (text,) = read_blocks("docs/alerts.md", "yaml", "rotas:")
    (folder / "rota.yaml").write_text(text)
    (block,) = read_blocks("docs/alerts.md", "bash", "alerts preview")
    monkeypatch.setitem(server.environment, "TALLYMARK_ADMIN_KEY", server.admin_key)
    said = run_block(
        server, leave_out(block).replace("metrics/", f"{shlex.quote(str(folder))} --origin alerts", 2)
    )
    assert "create rota on_call" in said
    assert "1 time in 336 windows" in said
    assert "no data" in said
    (block,) = read_blocks("docs/alerts.md", "bash", "receivers add")
    said = run_block(server, leave_out(block))
    assert "growth_chat is told at" in said
    assert "TIiajkdnlazkcOXrIdevi7FQ" not in said
    assert "password" not in said
    for file in folder.iterdir():
        file.write_text("")
    applied = server.run("apply", str(folder), "--origin", "alerts", TALLYMARK_ADMIN_KEY=server.admin_key)
    assert applied.returncode == 0, applied.stdout


def test_inward_setting(tmp_path):
    """The setting of the page is one, and means two networks."""
    (text,) = read_blocks("docs/alerts.md", "toml", "alert_inward")
    (tmp_path / "tallymark.toml").write_text(text)
    config, _ = load_config({}, {}, tmp_path / "tallymark.toml")
    assert config.list_inward() == ("10.1.0.0/16", "127.0.0.1")


def test_alert_words():
    """What an alert and its conditions can say is named on its page."""
    text = (ROOT / "docs/alerts.md").read_text(encoding="utf-8")
    words = {field.encode_name for one in (Alert, NoData) for field in msgspec.structs.fields(one)}
    for condition in get_args(Condition):
        words |= {field.encode_name for field in msgspec.structs.fields(condition)}
        assert (
            f"is: {condition.__struct_config__.tag}" in text or f"`{condition.__struct_config__.tag}`" in text
        )
    assert [word for word in sorted(words) if not re.search(rf"[`{{ ]{word}\b", text)] == []


def test_embedding_setting(tmp_path):
    """The setting of the page about embedding is one that the server takes."""
    (text,) = read_blocks("docs/embedding.md", "toml", "embed_ancestors")
    (tmp_path / "tallymark.toml").write_text(text)
    config, _ = load_config({}, {}, tmp_path / "tallymark.toml")
    assert config.embed_ancestors == "https://shop.example https://*.example"


def test_own_project(tmp_path):
    """The setting of the page about operations is taken, and the page names all that the samples hold."""
    (text,) = read_blocks("docs/operations.md", "toml", "own_project")
    (tmp_path / "tallymark.toml").write_text(text)
    config, _ = load_config({}, {}, tmp_path / "tallymark.toml")
    assert config.own_project == "ops"
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    metrics = parse_yaml((ROOT / "demo/definitions/health.yaml").read_text(encoding="utf-8")).value["metrics"]
    named = set(re.findall(r"(?:event_name|field)': '(?:attributes\.)?(\w+)'", str(metrics)))
    assert {"tallymark_pipeline", "lag_seconds", "sketch"} <= named
    assert [word for word in sorted(named) if not re.search(rf"`(?:field: )?{word}`", page)] == []


def test_metrics_words():
    """What a metric, dashboard and panel can be and say is named on its page."""
    text = "".join(
        (ROOT / page).read_text(encoding="utf-8") for page in ("docs/metrics.md", "docs/dashboards.md")
    )
    words = {
        *get_args(PanelKind),
        *(field.encode_name for one in (Dashboard, Panel) for field in msgspec.structs.fields(one)),
    }
    for kind in get_args(Metric):
        fields = msgspec.structs.fields(kind)
        words |= {str(kind.__struct_config__.tag), *(field.encode_name for field in fields)}
    assert [word for word in sorted(words) if not re.search(rf"`{word}\b", text)] == []
