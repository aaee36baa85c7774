"""Changes of alerts as events: each becomes one in its project, once, for Explore, metrics and dashboards like all others.

Runs in the `web` process, where the intake is. The event's id is that of the change: one that was recorded and not marked,
because the process ended in between, is a duplicate, which the dedup index drops.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from tallymark import __version__
from tallymark.alerts.book import Book
from tallymark.alerts.changes import ChangeRow
from tallymark.alerts.words import name_values
from tallymark.clock import SYSTEM_CLOCK
from tallymark.event import OWN_SOURCE, Event
from tallymark.intake.accept import build_batch
from tallymark.intake.app import Intake
from tallymark.pipeline.batch import Arrival
from tallymark.server.own_numbers import SCAN

log = structlog.get_logger("tallymark.alerts")

_LOOK_SECONDS = 2.0


class AlertEvents:
    """Records changes as events."""

    def __init__(self, intake: Intake, book: Book) -> None:
        self._intake = intake
        self._book = book

    async def keep_recording(self) -> None:
        """Record what changed every few seconds until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                await self.record()
            except Exception:
                log.exception("alert_changes_not_recorded", fix="they are recorded later")

    async def record(self) -> int:
        """Record what changed since the last time; returns how many changes that are. They are durable then."""
        changes = await asyncio.to_thread(self._book.list_unrecorded)
        by_project: dict[str, list[ChangeRow]] = {}
        for one in changes:
            by_project.setdefault(one.project, []).append(one)
        snapshot = self._intake.snapshots.current()
        for project, found in by_project.items():
            if project not in snapshot.projects:
                continue
            privacy = self._intake.privacy_rules(snapshot, project)
            arrival = Arrival(project, OWN_SOURCE, SYSTEM_CLOCK.now(), None, privacy)
            batch = build_batch(arrival, [build_event(one) for one in found], scan=SCAN)
            record = await asyncio.to_thread(self._intake.acceptor.prepare, batch)
            await self._intake.acceptor.commit(record)
            await asyncio.to_thread(self._book.mark_recorded, [one.id for one in found], SYSTEM_CLOCK.now())
        return len(changes)


def build_event(change: ChangeRow) -> Event:
    """Return the event of a change: its value is the figure that caused it."""
    cause, judged = change.cause, change.cause.standing.judged
    attributes: dict[str, Any] = {
        "alert": change.alert, "before": change.before, "after": change.after, "incident": change.incident,
        "severity": change.severity, "metric": cause.alert.metric, "owner": cause.owner, "of": name_values(change.values),
        "verdict": judged.verdict, "n": judged.n, "low": judged.low, "high": judged.high, "normal": judged.normal,
        "reason": judged.reason,
    }  # fmt: skip
    return Event(
        event_time=change.at,
        event_id=f"tallymark-alert-{change.id}",
        event_type="metric",
        event_name="tallymark_alert",
        value=judged.value,
        service_name="tallymark",
        service_version=__version__,
        attributes={name: value for name, value in attributes.items() if value not in (None, "")},
    )
