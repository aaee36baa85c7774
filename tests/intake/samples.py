"""A request of each protocol, made of events that all of them can express: for tests that run over every receiver."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TIME = "2026-01-31T12:00:00Z"


@dataclass(frozen=True)
class Sample:
    """How a protocol says it. `pack` makes a body of elements and a key; `head` gives the headers that carry a key."""

    path: str
    build: Callable[[str, dict[str, Any]], dict[str, Any]]
    pack: Callable[[list[Any], str], bytes]
    head: Callable[[str], dict[str, str]]
    # An element that is an object and no event, with its id, and what its failure is called.
    bad: dict[str, Any]
    bad_id: str
    bad_code: str


def _build_own(event_id: str, attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        "event_id": event_id, "event_time": TIME, "event_type": "track", "event_name": "clicked", "user_id": "u-1",
        "attributes": attributes,
    }  # fmt: skip


def _build_posthog(event_id: str, attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        "uuid": event_id, "timestamp": TIME, "event": "clicked", "distinct_id": "u-1", "properties": attributes,
    }  # fmt: skip


SAMPLES = {
    "http": Sample(
        "/v1/events",
        _build_own,
        lambda elements, _: json.dumps(elements).encode(),
        lambda key: {"Authorization": f"Bearer {key}"},
        {"event_id": "bad-1", "event_time": "noon", "event_type": "t", "event_name": "n"},
        "bad-1",
        "time_invalid",
    ),
    "posthog": Sample(
        "/batch",
        _build_posthog,
        lambda elements, key: json.dumps({"api_key": key, "batch": elements, "sent_at": TIME}).encode(),
        lambda _: {},
        {"uuid": "bad-1", "timestamp": "noon", "event": "n", "distinct_id": "u-1", "properties": {"a": 1}},
        "bad-1",
        "time_invalid",
    ),
}
