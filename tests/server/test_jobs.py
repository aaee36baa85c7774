"""The jobs process begins only with what it needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tallymark.catalog.migrations import run_migrations
from tallymark.catalog.tables import open_engine, sqlite_url
from tallymark.errors import FormatError
from tallymark.server.config import Config
from tallymark.server.jobs import Jobs
from tallymark.server.orders import Orders


def test_links_are_never_signed_with_nothing(tmp_path):
    """A catalog without the installation's secret is refused: whoever knows that could make links of their own."""
    engine = open_engine(sqlite_url(Path(tmp_path)))
    run_migrations(engine)
    engine.dispose()
    with pytest.raises(FormatError, match="no secret"):
        Jobs(Orders(Config(data=str(tmp_path)), "http://127.0.0.1:1", 1, ""))
