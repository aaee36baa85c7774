"""What the README and docs/privacy.md tell people to type works as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tallymark import Client

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def read_blocks(page: str, language: str, holding: str) -> list[str]:
    """Return the code blocks of a page that hold a text."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [body for kind, body in _BLOCK.findall(text) if kind == language and holding in body]


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


@pytest.mark.store
def test_readme(server):
    """The README's curl and commands, in its order, give what it says."""
    (sending,) = read_blocks("README.md", "bash", "curl")
    (asking,) = read_blocks("README.md", "bash", "tallymark query")

    sent = run_block(server, sending)
    server.wait_loaded()
    answered = run_block(server, asking)

    assert '{"accepted":1,"rejected":[]}' in sent
    assert "49.9" in answered
    assert "stored" in answered
    assert "balanced" in answered
    assert "order_paid" in answered


@pytest.mark.store
def test_readme_client(server):
    """The README's client records and times."""
    (code,) = read_blocks("README.md", "python", "Client")
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
def test_backup(server, monkeypatch, tmp_path):
    """docs/operations.md's backup leaves a folder with everything in it."""
    (copying,) = read_blocks("docs/operations.md", "bash", "tallymark backup")
    monkeypatch.setenv("HOME", str(tmp_path))

    said = run_block(server, copying)

    (made,) = tmp_path.iterdir()
    assert str(made) in said
    assert {"catalog.sqlite", "dedup", "journal", "ledger.sqlite", "store"} <= {
        one.name for one in made.iterdir()
    }


@pytest.mark.store
def test_privacy_switches(server):
    """The commands of docs/privacy.md switch rules off and on."""
    (block,) = read_blocks("docs/privacy.md", "bash", "privacy-off")

    first, second = (run_block(server, line) for line in block.strip().splitlines())

    assert "default is changed" in first
    assert "default is changed" in second


def test_make_lists_its_targets():
    """Every `make` target that the README and CONTRIBUTING name exists."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    text = (ROOT / "README.md").read_text(encoding="utf-8") + (ROOT / "CONTRIBUTING.md").read_text(
        encoding="utf-8"
    )

    named = set(re.findall(r"^make ([a-z-]+)", text, re.MULTILINE))

    assert named
    assert {name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)} == set()
