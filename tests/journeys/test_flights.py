"""The real input of the demo, whole: every flight through the client and the intake, every figure against pandas."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

from tallymark import Client

DEMO = Path(__file__).parents[2] / "demo"


@pytest.fixture(scope="module")
def demo():
    """Give the demo's modules, which stand beside the package."""
    sys.path.insert(0, str(DEMO))
    yield importlib.import_module("flights"), importlib.import_module("figures")
    sys.path.remove(str(DEMO))


def _ask(server, question):
    return server.request("POST", "/v1/query", json.dumps(question), key=server.read_key).json


@pytest.mark.store
def test_flights(make_server, demo):
    """A year of flights is stored once each, and all answers equal what pandas computes from the same data."""
    flights, figures = demo
    server = make_server().start()
    table = flights.read_flights()
    with Client(url=server.url, key=server.write_key) as client:
        summary = client.send_all(flights.build_events(table))
    server.wait_loaded()

    wrong = [
        figure
        for figure in figures.check_figures(lambda question: _ask(server, question), flights.expected(table))
        if not figure.right
    ]
    totals = server.ledger()["totals"]

    assert wrong == []
    assert sum(flights.TOTALS.values()) == summary.sent == totals["received"] == totals["stored"]
