"""Alerts, what they did, and replays, as JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tallymark.alerts.changes import ChangeRow
from tallymark.alerts.preview import Preview
from tallymark.alerts.words import name_values, write_judged, write_stretch
from tallymark.plan.kinds.alert import Alert
from tallymark.plan.kinds.metric import Metric
from tallymark.web.alert_states import Shown


def build_change_body(change: ChangeRow) -> dict[str, Any]:
    """Return a change for programs."""
    standing = change.cause.standing
    return {
        "id": change.id, "alert": change.alert, "values": dict(zip(change.cause.alert.breakdown, change.values, strict=False)),
        "before": change.before, "after": change.after, "incident": change.incident, "at": change.at,
        "found_at": change.found_at, "severity": change.severity, "owner": change.cause.owner,
        "judged": standing.judged, "text": write_judged(change.cause.alert, standing.judged, change.cause.unit),
    }  # fmt: skip


def build_alert_body(one: Shown) -> dict[str, Any]:
    """Return an alert with how it stands for programs."""
    return {
        "alert": one.alert.name, "title": one.alert.title, "severity": one.alert.severity, "owner": one.owner,
        "state": one.state, "condition": one.condition, "incident": one.incident,
        "receivers": [receiver.name for receiver in one.receivers], "unknown": one.unknown,
        "silenced_until": one.silence.ends_at if one.silence else None,
        "missed": one.missed, "gaps": [{"first": first, "last": last} for first, last in one.gaps],
        "values": [
            {
                "values": dict(zip(one.alert.breakdown, values, strict=False)), "name": name_values(values),
                "state": standing.state, "since": standing.since, "judged": standing.judged, "text": one.describe(standing),
            }
            for values, standing in one.values
        ],
    }  # fmt: skip


def build_preview_body(preview: Preview, alert: Alert, metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """Return a replay for programs; each stretch says in words when it was and what began it."""
    unit = metrics[alert.metric].figure_unit
    stretches = [
        {
            **msgspec.structs.asdict(one),
            "name": name_values(one.values),
            "text": write_judged(alert, one.judged, unit),
            "time": write_stretch(alert, one.start, one.end),
        }
        for one in preview.stretches
    ]
    return {**msgspec.structs.asdict(preview), "stretches": stretches}
