"""docs/api.md: the limits of texts that it states are those of the intake, in the unit that it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
LIMITS = re.findall(
    r"^\| `(\w+)`[^|]*\| string \| (?:1 to )?(\d+) (bytes|characters) \|$", PAGE, re.MULTILINE
)


@pytest.mark.store
def test_limits_of_texts(server, build_event):
    """A text of as many bytes or characters as the page says is accepted, one more is refused; é has two bytes."""
    assert {"event_id", "event_name", "user_id", "page_url"} <= {name for name, _, _ in LIMITS}
    for name, most, unit in LIMITS:
        longest = int(most) // 2 if unit == "bytes" else int(most)
        allowed = server.send([build_event(f"{name}-1") | {name: "é" * longest}])
        refused = server.send([build_event(f"{name}-2") | {name: "é" * (longest + 1)}])
        assert allowed.status == 200, (name, allowed.body)
        assert [(one["code"], one["at"]) for one in refused.json["rejected"]] == [("field_invalid", name)], (
            name
        )
