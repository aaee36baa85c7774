"""tallymark's own numbers: what a sample says, and that one that fails costs nothing but a line in the log."""

from __future__ import annotations

import asyncio
import json
import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import msgspec
import pytest
from structlog.testing import capture_logs

from tallymark.alerts.pulse import Pulse
from tallymark.catalog.repository import ProjectRow
from tallymark.catalog.snapshot import Snapshot
from tallymark.client.sketch import build_sketch
from tallymark.clock import FixedClock
from tallymark.errors import RequestRefused
from tallymark.intake.accept import Acceptor
from tallymark.ledger.report import Lines
from tallymark.meters import EVENTS_RECEIVED, INTAKE_SECONDS, OWN_FAILURES, REQUESTS_TURNED_AWAY
from tallymark.rules.privacy import PrivacyRules
from tallymark.server.config import Config
from tallymark.server.own_numbers import (
    Counts,
    OwnNumbers,
    build_alerts_events,
    build_intake_events,
    build_ledger_events,
    build_process_events,
)
from tallymark.server.process_state import ProcessState

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
MINUTE = 60.0


def test_intake_since_the_last_sample():
    """Events and requests are those since the last sample; times are a sketch, whose quantiles can be asked."""
    before = Counts(100.0, 40, {"unauthorized": 2, "rate_limited": 1})
    counts = Counts(110.0, 52, {"unauthorized": 5, "rate_limited": 1, "disk_full": 1})
    intake, *turned_away = build_intake_events(NOW, before, counts, build_sketch([1.0, 2.0, 2.0, 9.0]))
    assert (intake.event_name, intake.value, intake.event_time) == ("tallymark_intake", 12, NOW)
    assert (intake.attributes["requests"], intake.attributes["seconds"]) == (4, 10.0)
    assert (intake.attributes["minimum"], intake.attributes["maximum"]) == (1.0, 9.0)
    assert intake.sketch_counts == (1, 2, 1)
    assert intake.sketch_values == pytest.approx((1.0, 2.0, 9.0), rel=0.01)
    assert {(one.event_name, one.attributes["code"], one.value) for one in turned_away} == {
        ("tallymark_turned_away", "unauthorized", 3),
        ("tallymark_turned_away", "disk_full", 1),
    }


def test_a_quiet_time_is_told():
    """Where nothing came in, and nothing was turned away, events say 0: that differs from no events."""
    intake, turned_away = build_intake_events(NOW, Counts(0.0), Counts(10.0), build_sketch([]))
    assert (intake.value, intake.attributes) == (0, {"requests": 0, "seconds": 10.0})
    assert intake.sketch_values == ()
    assert (turned_away.value, turned_away.attributes) == (0, {"code": "none"})


def _by_role(before, processes):
    events = build_process_events(NOW, before, processes)
    return {one.attributes["role"]: (one.value, one.attributes["restarts"]) for one in events}


def test_cpu_and_restarts_of_processes():
    """CPU is counted from sample to sample, of a process that was started again from its start."""
    before = {"store": ProcessState(100, 9.0, 1), "loader": ProcessState(100, 2.0, 1)}
    now = {"store": ProcessState(100, 9.5, 1), "loader": ProcessState(700, 0.25, 1)}
    assert _by_role(before, now) == {"store": (0.5, 0), "loader": (0.25, 1)}


def test_the_first_sample_of_a_web_process():
    """What others took before the first sample is not known; a web process that began after them was started again."""
    others = {"serve": ProcessState(90, 3.0, 1), "store": ProcessState(100, 9.0, 1)}
    unknown = {"serve": (None, 0), "store": (None, 0)}
    assert _by_role({}, {"web": ProcessState(100, 0.5, 1), **others}) == {"web": (0.5, 0), **unknown}
    assert _by_role({}, {"web": ProcessState(900, 0.5, 1), **others}) == {"web": (0.5, 1), **unknown}


def test_the_ledger_of_all_projects():
    """Lines are added up over projects, and what no line accounts for is the value; differences do not cancel out."""
    right = Lines(10, 6, 1, {"rule": 1}, {"malformed_json": 1}, {"wrong_type": 1}, 0)
    (event,) = build_ledger_events(NOW, [right, Lines(5, 5)], balanced=True, damaged=0)
    assert (event.value, event.attributes["balanced"]) == (0, True)
    wanted = {
        "received": 15, "stored": 11, "duplicate": 1, "in_flight": 0, "dropped": 1, "refused": 1, "quarantined": 1,
    }  # fmt: skip
    assert wanted.items() <= event.attributes.items()
    (event,) = build_ledger_events(NOW, [Lines(3, 2), Lines(2, 3)], balanced=False, damaged=4)
    assert (event.value, event.attributes["balanced"], event.attributes["damaged_records"]) == (2, False, 4)


def test_how_well_alerts_are_judged():
    """The wait of the oldest window and what was never judged are told, as of the last round; without alerts nothing is."""
    assert build_alerts_events(NOW, None) == []
    pulse = Pulse(
        at=NOW - timedelta(seconds=4), complete=NOW, took_seconds=0.25, judged=2, missed=7, lag_seconds=71.5
    )
    assert build_alerts_events(NOW, pulse) == []
    pulse = msgspec.structs.replace(pulse, alerts=3, problems={"shop/low": "It failed."})
    (event,) = build_alerts_events(NOW, pulse)
    assert event.value == 71.5
    wanted = {
        "alerts": 3,
        "judged": 2,
        "missed": 7,
        "problems": 1,
        "took_seconds": 0.25,
        "round_seconds_ago": 4.0,
    }
    assert event.attributes == {**event.attributes, **wanted}


class _Journal:
    """Takes records, or refuses all while `refusal` is set."""

    def __init__(self):
        self.records = []
        self.refusal = None

    def check(self):
        if self.refusal:
            raise self.refusal

    def append(self, record):
        self.check()
        self.records.append(record)
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


class _Bench:
    """A recorder whose journal, clock and store are in the test's hands."""

    def __init__(self, folder, **settings):
        (folder / "journal" / "0000").mkdir(parents=True)
        self.clock, self.journal = FixedClock(NOW), _Journal()
        self.projects = {"ops": ProjectRow("ops", (), 0)}
        intake = SimpleNamespace(
            snapshots=SimpleNamespace(current=lambda: Snapshot(1, {}, self.projects)),
            acceptor=Acceptor(self.journal, seed=1),
            privacy_rules=lambda *_: PrivacyRules(),
        )
        self.services = SimpleNamespace(
            journal=self.journal,
            store=SimpleNamespace(ping=lambda: False),
            ledger=folder / "ledger.sqlite",
            desk=SimpleNamespace(read_pulse=lambda: None),
            tail=SimpleNamespace(lock=threading.RLock(), read=lambda _: []),
            clock=self.clock,
            started=NOW,
            stalled_seconds=120,
        )
        config = Config(data=str(folder), own_project="ops", **settings)
        self.own = OwnNumbers(config, intake, self.services, self.clock)

    def recorded(self):
        """Return the events of the last record, by name."""
        record = self.journal.records[-1]
        assert (record.heading.project, record.heading.source) == ("ops", "own")
        assert record.heading.accepted == record.heading.total
        return {row["event_name"]: row for row in map(json.loads, record.rows.splitlines())}


@pytest.fixture
def bench(tmp_path):
    made = _Bench(tmp_path)
    yield made
    made.own.close()


def _failures():
    return OWN_FAILURES._value.get()


def test_a_sample_that_fails_is_told_by_the_next(bench):
    """While the journal refuses nothing is recorded and nothing forgotten: the next sample covers both times."""

    async def run():
        EVENTS_RECEIVED.add("accepted", 5)
        REQUESTS_TURNED_AWAY.labels("rate_limited").inc()
        bench.own.note(0.004)
        bench.journal.refusal = RequestRefused("disk_full")
        bench.clock.advance(10)
        with pytest.raises(RequestRefused, match="disk_full"):
            await bench.own.record()
        assert bench.journal.records == []
        bench.journal.refusal = None
        EVENTS_RECEIVED.add("accepted", 2)
        bench.own.note(0.008)
        bench.clock.advance(10)
        await bench.own.record()

    asyncio.run(run())
    found = bench.recorded()
    assert found["tallymark_intake"]["value"] == 7
    assert found["tallymark_intake"]["attributes"]["seconds"] == 20.0
    assert found["tallymark_intake"]["attributes"]["count"] == 2
    assert found["tallymark_intake"]["attributes"]["maximum"] == 8.0
    turned_away = found["tallymark_turned_away"]
    assert (turned_away["value"], turned_away["attributes"]["code"]) == (1, "rate_limited")
    assert (found["tallymark_pipeline"]["attributes"]["store"], found["tallymark_pipeline"]["value"]) == (
        "unreachable",
        0,
    )


def test_own_events_are_no_traffic(bench):
    """The events of a sample do not count as received in the next one."""

    async def run():
        await bench.own.record()
        await bench.own.record()

    asyncio.run(run())
    assert bench.recorded()["tallymark_intake"]["value"] == 0
    assert EVENTS_RECEIVED.totals()["accepted"] >= 2


def test_a_part_that_fails_costs_only_itself(bench):
    """The other parts are recorded; a failure is counted each time, and logged once a minute."""
    bench.services.ledger.write_text("no database")
    before = _failures()

    async def run():
        for _ in range(7):
            await bench.own.record()
            bench.clock.advance(10)

    with capture_logs() as logs:
        asyncio.run(run())
    # Readiness asks the same file.
    assert _failures() - before == 14
    assert {"tallymark_intake", "tallymark_turned_away"} <= set(bench.recorded())
    assert [(one["event"], one["log_level"]) for one in logs] == [("own_numbers_not_recorded", "warning")] * 2
    assert logs[0]["part"] == "pipeline"
    assert "not a database" in logs[0]["error"]
    assert "fix" in logs[0]


def test_a_project_that_is_gone(bench):
    """Nothing is recorded for a project that is not there any more, or not yet."""
    bench.projects = {}
    with pytest.raises(RequestRefused, match="no project 'ops'"):
        asyncio.run(bench.own.record())
    assert bench.journal.records == []


def test_it_goes_on_after_failures(bench):
    """Whatever a sample raises, the next one is taken; once told to finish it listens to no request any more."""
    taken, thrice = [], asyncio.Event()

    async def fail():
        taken.append(INTAKE_SECONDS.listener)
        if len(taken) == 3:
            thrice.set()
        raise OSError("the disk is gone")

    bench.own.record = fail
    bench.own._seconds = 0.001
    before = _failures()

    async def run():
        bench.own.start()
        await thrice.wait()
        await bench.own.finish()

    with capture_logs() as logs:
        asyncio.run(run())
    assert taken[0] == bench.own.note
    assert INTAKE_SECONDS.listener is None
    assert _failures() - before == len(taken)
    assert [one["error"] for one in logs] == ["OSError: the disk is gone"]


def test_the_last_sample(bench):
    """Who is told to finish records what has come in since the last sample, without waiting for the next one's time."""

    async def run():
        bench.own.start()
        await asyncio.sleep(0)
        EVENTS_RECEIVED.add("accepted", 3)
        await bench.own.finish()

    asyncio.run(run())
    assert len(bench.journal.records) == 1
    assert bench.recorded()["tallymark_intake"]["value"] == 3


def test_a_last_sample_that_hangs(bench, monkeypatch):
    """A store that says nothing does not keep the server from stopping."""
    monkeypatch.setattr("tallymark.server.own_numbers._FINISH_SECONDS", 0.05)
    released = threading.Event()
    bench.services.store.ping = lambda: released.wait(30)

    async def run():
        bench.own.start()
        await bench.own.finish()

    with capture_logs() as logs:
        asyncio.run(run())
    released.set()
    assert bench.journal.records == []
    assert logs == []
