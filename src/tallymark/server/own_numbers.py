"""tallymark's own health as events: every few seconds a sample, which goes the way of every other event.

Runs in the `web` process where `own_project` names a project. What takes time is done in a thread of its own; a sample
that fails is counted and logged, and what it would have told comes with the next one. What each event says stands in
docs/operations.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import structlog

from tallymark import __version__
from tallymark.alerts.pulse import Pulse
from tallymark.catalog.snapshot import Snapshot
from tallymark.client.sketch import Sketch
from tallymark.client.stamp import build_event_id
from tallymark.clock import SYSTEM_CLOCK, Clock
from tallymark.errors import RequestRefused, TallymarkError
from tallymark.event import OWN_SOURCE, Event
from tallymark.intake.accept import build_batch
from tallymark.intake.app import Intake
from tallymark.journal.files import list_segments
from tallymark.journal.record import Record
from tallymark.ledger.readers import ReaderLag, read_lags
from tallymark.ledger.report import Lines, build_report
from tallymark.meters import EVENTS_RECEIVED, INTAKE_SECONDS, OWN_FAILURES, REQUESTS_TURNED_AWAY
from tallymark.pipeline.batch import Arrival
from tallymark.pipeline.scan import Scan
from tallymark.server.config import Config
from tallymark.server.orders import find_paths
from tallymark.server.process_state import ProcessState, read_processes
from tallymark.store.schema import EVENTS_TABLE
from tallymark.web.api.health import read_readiness
from tallymark.web.services import Services

# The stretch of the ledger that each sample looks at.
LEDGER_TIME = timedelta(hours=1)
# Sampling takes no more than this part of a processor, however slow that is and however many projects there are.
_SHARE = 1 / 50
_COMPLAIN_SECONDS = 60.0
# How long the last sample may take; a store that says nothing is waited for in every one.
_FINISH_SECONDS = 4.0
# How long the store may take to say how large it is.
_STORE_SECONDS = 1
# What the supervisor starts after the web process.
_LATER = ("store", "loader", "jobs")
# Roles, codes and numbers of ours: nothing in them is about people, or has to be looked at again.
SCAN = Scan(people=False, escapes=False, long_integers=False, odd=False)

log = structlog.get_logger("tallymark.own")


@dataclass(frozen=True, slots=True)
class Counts:
    """What has been counted since the start: events that others sent, requests turned away by code. `at` is monotonic."""

    at: float
    received: float = 0
    turned_away: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Sample:
    """What a sample holds, and what the next one is compared with once this one is on the disk."""

    counts: Counts
    sketch: Sketch
    processes: dict[str, ProcessState] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)


class OwnNumbers:
    """Takes samples and records them. Its methods run on the event loop, those of a sample in a thread."""

    def __init__(
        self, config: Config, intake: Intake, services: Services, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._project = config.own_project
        self._seconds = config.own_seconds
        self._paths = find_paths(config.data)
        self._intake = intake
        self._services = services
        self._clock = clock
        # Milliseconds that the requests since the last sample took.
        self._sketch = Sketch()
        self._last = Counts(clock.monotonic(), *_read_meters())
        self._processes: dict[str, ProcessState] = {}
        # Events of these samples that are on the disk: they are no traffic.
        self._recorded = 0
        # CPU seconds that the last sample took.
        self._took = 0.0
        self._failures = 0
        self._complained_at = float("-inf")
        self._closed = False
        self._finishing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="own-numbers")

    def start(self) -> None:
        """Begin to record."""
        INTAKE_SECONDS.listener = self.note
        self._task = asyncio.create_task(self._keep_recording())

    async def finish(self) -> None:
        """Record what was counted since the last sample, and end; waits a few seconds at most."""
        self._finishing.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=_FINISH_SECONDS)
            self._task.cancel()
        self.close()

    async def _keep_recording(self) -> None:
        """Record a sample every so many seconds, and a last one when there is no time left."""
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(self._seconds, self._took / _SHARE)):
                        await self._finishing.wait()
                last = self._finishing.is_set()
                try:
                    await self.record()
                except Exception as error:  # noqa: BLE001 - whatever it is, the server goes on without this sample
                    self._complain("sample", error)
                if last:
                    return
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the meters and the thread; what the thread still does is thrown away."""
        self._closed = True
        INTAKE_SECONDS.listener = None
        self._threads.shutdown(wait=False, cancel_futures=True)

    def note(self, seconds: float) -> None:
        """Take note of how long a request took."""
        self._sketch.add(seconds * 1000)

    async def record(self) -> None:
        """Take one sample and record it; returns once it is durable. Raises what kept it from that."""
        snapshot = self._intake.snapshots.current()
        if self._project not in snapshot.projects:
            raise RequestRefused("not_found", f"There is no project {self._project!r}.", at="own_project")
        received, turned_away = _read_meters()
        counts = Counts(self._clock.monotonic(), received - self._recorded, turned_away)
        sample = Sample(counts, self._sketch)
        self._sketch = Sketch()
        try:
            loop = asyncio.get_running_loop()
            record = await loop.run_in_executor(self._threads, self._prepare, sample, snapshot)
            outcome = await self._intake.acceptor.commit(record)
        except Exception:
            # The next sample tells of these requests, too.
            self._sketch.merge(sample.sketch)
            raise
        self._recorded += outcome.accepted + len(outcome.failed)
        self._last = counts
        self._processes |= sample.processes

    # In the thread

    def _prepare(self, sample: Sample, snapshot: Snapshot) -> Record:
        began = time.thread_time()
        now = self._clock.now()
        parts: tuple[tuple[str, Callable[[], list[Event]]], ...] = (
            ("intake", lambda: build_intake_events(now, self._last, sample.counts, sample.sketch)),
            ("process", lambda: self._read_processes(now, sample)),
            ("pipeline", lambda: self._read_pipeline(now)),
            ("ledger", lambda: self._read_ledger(now, list(snapshot.projects))),
            (
                "readers",
                lambda: build_reader_events(now, read_lags(self._paths.readers, self._paths.journal)),
            ),
            ("alerts", lambda: build_alerts_events(now, self._services.desk.read_pulse())),
        )
        for name, read in parts:
            try:
                sample.events += read()
            except Exception as error:  # noqa: BLE001 - the other parts are worth having without this one
                self._complain(name, error)
        privacy = self._intake.privacy_rules(snapshot, self._project)
        arrival = Arrival(self._project, OWN_SOURCE, now, None, privacy)
        record = self._intake.acceptor.prepare(build_batch(arrival, sample.events, scan=SCAN))
        self._took = time.thread_time() - began
        return record

    def _read_processes(self, now: datetime, sample: Sample) -> list[Event]:
        sample.processes = read_processes(os.getppid())
        return build_process_events(now, self._processes, sample.processes)

    def _read_pipeline(self, now: datetime) -> list[Event]:
        ready = read_readiness(self._services)
        room = os.statvfs(self._paths.journal)
        attributes: dict[str, Any] = {
            "ready": ready.ready,
            "journal": ready.journal,
            "store": ready.store,
            "loader": ready.loader,
            "lag_seconds": ready.lag_seconds,
            "journal_bytes": sum(_size(path) for _, path in list_segments(self._paths.journal)),
            "disk_bytes": room.f_blocks * room.f_frsize,
            "disk_free_bytes": room.f_bavail * room.f_frsize,
        }
        if ready.store == "reachable":
            try:
                attributes["store_bytes"] = self._measure_store()
            except TallymarkError as error:
                # It may be busy. The rest is worth having.
                self._complain("store", error)
        return [_build(now, "tallymark_pipeline", ready.lag_events, attributes)]

    def _measure_store(self) -> int:
        """Return the bytes of the stored events, as they are on the store's disk."""
        database, _, table = EVENTS_TABLE.partition(".")
        answer = self._services.store.query_rows(
            "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = {d:String} AND table = {t:String}",
            {"d": database, "t": table},
            {"max_execution_time": _STORE_SECONDS},
        )
        return int(answer.rows[0][0])

    def _read_ledger(self, now: datetime, projects: list[str]) -> list[Event]:
        services = self._services
        if not services.ledger.exists():
            return []
        # The minute that has just begun, too.
        start, end = now - LEDGER_TIME, now + timedelta(minutes=1)
        reports = [build_report(services.ledger, services.tail, name, start, end) for name in projects]
        damaged = max((report.outside.damaged_records for report in reports), default=0)
        balanced = all(report.balanced for report in reports)
        capped = sum(report.outside.client_reports_capped for report in reports)
        return build_ledger_events(
            now, [report.totals for report in reports], balanced=balanced, damaged=damaged, capped=capped
        )

    def _complain(self, part: str, error: Exception) -> None:
        """Count a failure, and say so once a minute."""
        if self._closed:
            return
        OWN_FAILURES.inc()
        self._failures += 1
        now = self._clock.monotonic()
        if now - self._complained_at < _COMPLAIN_SECONDS:
            return
        self._complained_at = now
        text = error.message if isinstance(error, TallymarkError) else f"{type(error).__name__}: {error}"
        log.warning(
            "own_numbers_not_recorded",
            part=part,
            error=text,
            failures=self._failures,
            fix="the server goes on; what was counted meanwhile comes with the next sample",
        )


def build_intake_events(now: datetime, before: Counts, counts: Counts, sketch: Sketch) -> list[Event]:
    """Return what came in since the sample `before`, and an event for each code by which requests were turned away.

    Where none was there is one that says 0, so that nothing to tell looks different from nobody who tells. `sketch` is in
    milliseconds.
    """
    bins = sketch.bins()
    attributes: dict[str, Any] = {
        "requests": sketch.count,
        "seconds": round(counts.at - before.at, 3),
    }
    if sketch.count:
        # As the client's histograms tell theirs.
        attributes |= {"kind": "histogram", "unit": "ms", "count": sketch.count, "sum": sketch.sum}
        attributes |= {"minimum": sketch.minimum, "maximum": sketch.maximum}
    intake = _build(now, "tallymark_intake", counts.received - before.received, attributes)
    intake.sketch_values = tuple(float(f"{value:.9g}") for value, _ in bins)
    intake.sketch_counts = tuple(count for _, count in bins)
    turned_away = {
        code: requests
        for code, total in counts.turned_away.items()
        if (requests := total - before.turned_away.get(code, 0))
    }
    return [
        intake,
        *(
            _build(now, "tallymark_turned_away", requests, {"code": code})
            for code, requests in (turned_away or {"none": 0.0}).items()
        ),
    ]


def build_process_events(
    now: datetime, before: Mapping[str, ProcessState], processes: Mapping[str, ProcessState]
) -> list[Event]:
    """Return an event for each process: what it takes, and whether it was started again since the sample `before`.

    How much CPU a process took since then is only known of one that was seen then, or began later.
    """
    events = []
    for role, state in processes.items():
        known = before.get(role)
        if known is None and role == "web":
            # Samples are taken here: none was before this process. It is the first that the supervisor starts.
            restarted = any(
                state.started > other.started for name, other in processes.items() if name in _LATER
            )
            cpu: float | None = state.cpu_seconds
        else:
            restarted = known is not None and known.started != state.started
            cpu = None if known is None else state.cpu_seconds - (0 if restarted else known.cpu_seconds)
        attributes = {"role": role, "memory_bytes": state.memory_bytes, "restarts": int(restarted)}
        events.append(_build(now, "tallymark_process", None if cpu is None else round(cpu, 3), attributes))
    return events


def build_ledger_events(
    now: datetime, totals: list[Lines], *, balanced: bool, damaged: int, capped: int = 0
) -> list[Event]:
    """Return the ledger of all projects as one event; its value is how many events no line accounts for."""
    attributes: dict[str, Any] = {
        "balanced": balanced,
        "damaged_records": damaged,
        "client_reports_capped": capped,
    }
    missing = 0
    for line in ("received", "stored", "duplicate", "in_flight"):
        attributes[line] = sum(getattr(lines, line) for lines in totals)
    for line in ("dropped", "refused", "quarantined"):
        attributes[line] = sum(sum(getattr(lines, line).values()) for lines in totals)
    for lines in totals:
        reasons = (lines.dropped, lines.refused, lines.quarantined)
        accounted = (
            lines.stored + lines.duplicate + lines.in_flight + sum(sum(line.values()) for line in reasons)
        )
        missing += abs(lines.received - accounted)
    return [_build(now, "tallymark_ledger", missing, attributes)]


def build_reader_events(now: datetime, lags: list[ReaderLag]) -> list[Event]:
    """Return how far everybody who follows the journal is behind."""
    events = []
    for lag in lags:
        seconds = max(0.0, now.timestamp() - lag.since_us / 1e6) if lag.since_us else 0.0
        attributes = {"reader": lag.name, "records": lag.records, **msgspec.structs.asdict(lag.totals)}
        events.append(_build(now, "tallymark_reader", round(seconds, 1), attributes))
    return events


def build_alerts_events(now: datetime, pulse: Pulse | None) -> list[Event]:
    """Return how well alerts are judged, as the last round left it; nothing where there is no alert."""
    if pulse is None or not pulse.alerts:
        return []
    ago = (now - pulse.at).total_seconds()
    attributes = {
        "alerts": pulse.alerts, "judged": pulse.judged, "missed": pulse.missed, "problems": len(pulse.problems),
        "took_seconds": pulse.took_seconds, "round_seconds_ago": round(max(0.0, ago), 1),
    }  # fmt: skip
    return [_build(now, "tallymark_alerts", round(pulse.lag_seconds, 3), attributes)]


def _build(now: datetime, name: str, value: float | None, attributes: dict[str, Any]) -> Event:
    return Event(
        event_time=now,
        event_id=build_event_id(time.time_ns()),
        event_type="metric",
        event_name=name,
        value=value,
        service_name="tallymark",
        service_version=__version__,
        attributes=attributes,
    )


def _size(path: Path) -> int:
    """Return a file's size; 0 of one that is gone by now."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _read_meters() -> tuple[float, dict[str, float]]:
    """Return how many events were received, and how many requests turned away by code, since the start."""
    turned_away = {
        sample.labels["code"]: sample.value
        for family in REQUESTS_TURNED_AWAY.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    }
    return sum(EVENTS_RECEIVED.totals().values()), turned_away
