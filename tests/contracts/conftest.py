"""The intake of a real server, for the contract of receivers."""

from __future__ import annotations

from tests.intake.conftest import make_site

__all__ = ["make_site"]
