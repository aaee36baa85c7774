"""`pip install` of this project without extras gives a client that works."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

PROGRAM = """
import sys
from importlib.metadata import distributions
from tallymark import Client
from tallymark.testing import capture
installed = sorted(each.metadata["Name"].lower() for each in distributions())
assert set(installed) - {"pip", "setuptools"} == {"msgspec", "tallymark", "urllib3"}, installed
client = Client(sys.argv[1], "k")
client.behavior("alone"); client.increment("n"); client.timing("t", 0.1)
assert client.flush(30), client.stats()
with capture() as events:
    client.behavior("captured")
assert len(events) == 1
"""


def test_the_bare_package_works_alone(intake, tmp_path):
    """In a fresh environment with msgspec and urllib3 only, the client imports, records and delivers."""
    root = Path(__file__).parents[2]
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")
    }
    steps = [
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(root)],
        [python, "-W", "error", "-c", PROGRAM, intake.url],
    ]
    for step in steps:
        ended = subprocess.run(
            step, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert ended.returncode == 0, ended.stderr
    assert {event["event_name"] for event in intake.events} == {"alone", "n", "t"}
    assert sys.version_info[:2] >= (3, 11)
