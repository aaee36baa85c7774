"""docs/client.md tells the truth: its code runs, and its table of settings is complete."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

import tallymark
from tallymark.client.plain import _MAX_LEVELS
from tallymark.client.settings import Settings
from tallymark.errors import CLIENT_DROP_REASONS

PAGE = Path(__file__).parents[2].joinpath("docs", "client.md").read_text()


def test_the_code_of_the_page_runs(intake, monkeypatch):
    """Every Python block of docs/client.md runs, in order, against an intake, and its assertions hold."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) >= 9
    monkeypatch.setenv("TALLYMARK_URL", "http://127.0.0.1:9")
    names: dict[str, object] = {}
    for block in blocks:
        code = block.replace("http://127.0.0.1:8600", intake.url)
        exec(compile(code, "docs/client.md", "exec"), names)  # noqa: S102  the page is ours
    client = names["client"]
    assert isinstance(client, tallymark.Client)
    assert client.close(20)
    assert client.stats().dropped == {}
    sent = {event["event_name"] for event in intake.events}
    assert {
        "signed_up",
        "scrolled",
        "imported",
        "requests",
        "work",
        "pages",
        "crawl",
        "searched",
        "paid",
    } <= sent


@pytest.mark.parametrize("field", fields(Settings), ids=lambda field: field.name)
def test_every_setting_is_in_the_table(field):
    """The page names each setting."""
    assert f"`{field.name}`" in PAGE


@pytest.mark.parametrize("reason", CLIENT_DROP_REASONS)
def test_every_drop_reason_is_in_the_table(reason):
    """The page says when each reason applies."""
    assert f"| `{reason}` |" in PAGE


def test_stated_limits_are_the_real_ones():
    """The depth that the page states is the one that the code has."""
    assert f"over {_MAX_LEVELS} levels" in PAGE
