"""What several journeys share."""

from __future__ import annotations

import pytest


@pytest.fixture
def fresh(make_server):
    """Start a server of the test's own."""
    server = make_server(loader_linger_seconds=0.05, restart_pause_seconds=0.2).start()
    yield server
    server.close()
