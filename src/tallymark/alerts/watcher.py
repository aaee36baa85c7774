"""Watching: every few seconds all alerts of all projects are judged, and what changed is written.

Comes in: the catalog, the store, and until when the data is complete. Goes out: what the book keeps. The jobs process runs
`tick` in a loop; the command line and the tests call it with a clock of their own.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec
import structlog

from tallymark.alerts.book import Book
from tallymark.alerts.changes import Kept, News, Outcome
from tallymark.alerts.notices import Notices, Trouble
from tallymark.alerts.own import OWN, judge_own
from tallymark.alerts.pulse import Pulse
from tallymark.alerts.questions import Questions
from tallymark.alerts.rounds import Watched, run_round
from tallymark.alerts.routing import Routing, find_owner
from tallymark.alerts.silences import Silences
from tallymark.alerts.standing import is_told
from tallymark.alerts.values import key_of
from tallymark.alerts.windows import Window, find_next_end
from tallymark.alerts.words import find_unit, name_watched
from tallymark.catalog.definitions import Definition, Definitions
from tallymark.catalog.receivers import Receivers
from tallymark.catalog.repository import Catalog
from tallymark.crashpoints import reach
from tallymark.loader.state import NO_STALL, Stall
from tallymark.plan.changes import collect_objects
from tallymark.plan.kinds.alert import Alert
from tallymark.plan.kinds.metric import Metric
from tallymark.plan.kinds.rota import Rota
from tallymark.plan.lengths import parse_length
from tallymark.queries.events import Present
from tallymark.queries.kinds import Question
from tallymark.queries.result import Answer

log = structlog.get_logger("tallymark.alerts")

Ask = Callable[[str, Question], Answer]
Look = Callable[[str, Window], Present]


@dataclass(slots=True)
class _Project:
    """What is known of one project: its definitions, and how its alerts stand."""

    name: str
    kept: dict[str, Kept]
    alerts: dict[str, Alert] = field(default_factory=dict)
    metrics: dict[str, Metric] = field(default_factory=dict)
    rotas: dict[str, Rota] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    questions: Questions | None = None
    questions_of: str = ""
    # Since when its rounds end with a fault.
    failing_since: datetime | None = None
    # Since when the newest definitions cannot be read.
    unread_since: datetime | None = None


@dataclass(slots=True)
class Watcher:
    """Judges. One thread calls it; `pool` asks several questions at once."""

    catalog: Catalog
    book: Book
    notices: Notices
    silences: Silences
    receivers: Receivers
    ask: Ask
    look: Look
    pool: Executor
    seconds: int
    _projects: dict[str, _Project] = field(default_factory=dict)
    _version: int = -1
    _stall: Stall = NO_STALL

    def tick(self, now: datetime, complete: datetime, stall: Stall = NO_STALL) -> Pulse:
        """Judge what is due in all projects.

        `complete` is the time up to which all events are stored, `stall` how long the loader has stored nothing.
        """
        self._stall = stall
        self._read_definitions(now)
        pulse = Pulse(at=now, complete=complete, took_seconds=0.0)
        for project in self._projects.values():
            try:
                pulse = self._judge_project(project, pulse)
                project.failing_since = None
            except Exception as error:
                # What one project cannot have judged must not keep the others waiting. Nothing was written of it.
                log.exception("alerts_not_judged", project=project.name, fix="the next round tries again")
                pulse = self._note_fault(project, pulse, error)
        return pulse

    def _note_fault(self, project: _Project, pulse: Pulse, error: Exception) -> Pulse:
        """Note that a project could not be judged; how long that lasts is lateness, which people are told of."""
        project.failing_since = project.failing_since or pulse.at
        lag = (pulse.at - project.failing_since).total_seconds()
        with suppress(Exception):
            receivers = self.receivers.list(project.name)
            outcomes = judge_own(project.kept, receivers, pulse.at, lag, 0, self._stall)
            self._write(project, outcomes, Routing(receivers, {}), pulse.at)
        problems = {project.name: f"A fault of ours ({type(error).__name__})."}
        return _add(pulse, problems=problems, alerts=len(project.alerts), lag_seconds=lag)

    def _judge_project(self, project: _Project, pulse: Pulse) -> Pulse:
        """Judge one project; returns the pulse with what that was like."""
        now, complete = pulse.at, pulse.complete
        before, begun = _count_missed(project), time.monotonic()
        outcomes = self._judge(project, complete)
        lag = self._find_lag(project, outcomes, now, complete) + time.monotonic() - begun
        problems = {f"{project.name}/{one.alert.name}": one.problem for one in outcomes if one.problem}
        if project.unread_since is not None:
            lag = max(lag, (now - project.unread_since).total_seconds())
            problems[project.name] = "Its definitions cannot be read: it is judged by those that were before."
        missed = sum(one.watch.missed for one in outcomes) - sum(
            project.kept[one.alert.name].watch.missed for one in outcomes if one.alert.name in project.kept
        )
        judged = len(outcomes)
        routing = Routing(self.receivers.list(project.name), project.rotas)
        watched = bool(project.alerts) or project.unread_since is not None
        # Who has no alert is told, too, that nothing is stored any more.
        watched_over = watched or self._stall.is_long
        if watched_over or any(project.kept[alert].watch.incident for alert in OWN if alert in project.kept):
            outcomes += judge_own(
                project.kept, routing.receivers, now, lag if watched else 0.0, missed, self._stall
            )
        self._write(project, outcomes, routing, now)
        self._repeat(project, routing, now)
        return _add(
            pulse, problems=problems, judged=judged, alerts=len(project.alerts), missed=before + missed,
            lag_seconds=lag,
        )  # fmt: skip

    def _find_lag(
        self, project: _Project, outcomes: list[Outcome], now: datetime, complete: datetime
    ) -> float:
        """Return how many seconds the oldest window has waited that ended and is not judged."""
        lags = [(now - complete).total_seconds(), 0.0]
        watches = {name: kept.watch for name, kept in project.kept.items()}
        watches |= {one.alert.name: one.watch for one in outcomes}
        for alert in project.alerts.values():
            if alert.name in watches:
                step, watch = max(alert.step, self.seconds), watches[alert.name]
                due = find_next_end(step, alert.timezone, watch.judged_until)
                # What ended before it was watched nobody waits for.
                lags.append((now - max(due, watch.since or due)).total_seconds())
        return max(lags)

    def metrics_of(self, project: str) -> dict[str, Metric]:
        """Return a project's metrics as the last round knew them. Any thread may ask: they are replaced, and not changed."""
        found = self._projects.get(project)
        return found.metrics if found else {}

    def _read_definitions(self, now: datetime) -> None:
        """Read the definitions again where anything in the catalog changed."""
        version = self.catalog.version()
        if version == self._version:
            return
        definitions = Definitions(self.catalog)
        for name in [row.name for row in self.catalog.list_projects()]:
            project = self._projects.get(name)
            if project is None:
                project = self._projects[name] = _Project(name, self.book.load(name))
            try:
                self._take_definitions(project, definitions.list(name), now)
            except Exception:
                # It is judged by those that were before: the others' alerts must not wait for it.
                log.exception("definitions_not_read", project=name, fix="look at what was changed there last")
                project.unread_since = project.unread_since or now
            else:
                project.unread_since = None
        self._version = version

    def _take_definitions(self, project: _Project, definitions: list[Definition], now: datetime) -> None:
        """Let a project be judged by its definitions of now."""
        present = [one for one in definitions if one.kind in ("metric", "alert", "rota")]
        objects = collect_objects(present)
        project.alerts, project.metrics = objects["alert"], objects["metric"]
        project.rotas = objects["rota"]
        bodies = {(one.kind, one.name): one.body for one in present}
        project.digests = {
            alert: _digest(one, bodies, project.metrics) for alert, one in project.alerts.items()
        }
        self._close_gone(project, now)
        self._open_questions(project, present)

    def _close_gone(self, project: _Project, now: datetime) -> None:
        """Close alerts that there are not any more, and those that are broken down by something else now."""
        for alert, kept in list(project.kept.items()):
            present = project.alerts.get(alert)
            if alert in OWN or (present is not None and present.breakdown == kept.watch.breakdown):
                continue
            why = "The alert was taken away." if present is None else "The alert was changed."
            self.book.close(project.name, alert, why, now)
            del project.kept[alert]

    def _open_questions(self, project: _Project, present: list[Definition]) -> None:
        """Remember nothing that was asked by other definitions of metrics."""
        bodies = "\0".join(one.body for one in present if one.kind == "metric")
        if project.questions is None or project.questions_of != bodies:
            project.questions_of = bodies
            project.questions = Questions(
                project.metrics,
                lambda question: self.ask(project.name, question),
                lambda window: self.look(project.name, window),
            )

    def _judge(self, project: _Project, complete: datetime) -> list[Outcome]:
        watched = []
        for alert in project.alerts.values():
            kept = project.kept.get(alert.name)
            watched.append(
                Watched(
                    alert, project.metrics.get(alert.metric), project.digests[alert.name],
                    kept.watch if kept else None, kept.standings if kept else {},
                )
            )  # fmt: skip
        questions = project.questions
        return run_round(watched, questions, complete, self.seconds, self.pool) if questions else []

    def _write(self, project: _Project, outcomes: list[Outcome], routing: Routing, now: datetime) -> None:
        """Write outcomes; only then they are what is known."""
        if not outcomes:
            return
        news = [self._build_news(project, one, routing, now) for one in outcomes]
        reach("alerts.after_judging_before_write")
        watches = self.book.write(project.name, news, now)
        reach("alerts.after_write")
        for one, watch in zip(outcomes, watches, strict=True):
            project.kept[one.alert.name] = Kept(watch, one.standings)
            for change in one.changes:
                log.info(
                    "alert_changed", project=project.name, alert=one.alert.name, values=list(change.values),
                    before=change.before.state, after=change.after.state, at=change.at.isoformat(),
                )  # fmt: skip

    def _build_news(self, project: _Project, one: Outcome, routing: Routing, now: datetime) -> News:
        metric = project.metrics.get(one.alert.metric)
        kept, lasting = project.kept.get(one.alert.name), None
        if one.changes and kept is not None and kept.watch.incident and routing.may_escalate(one.alert):
            # Of what joins the trouble all hear who were called for it.
            lasting = self._find_unanswered(project, one.alert, kept, now)
        told = routing.find_told(one.alert, metric, one.standings, now, lasting) if one.changes else []
        return News(
            one, name_watched(one.alert, metric), find_unit(one.alert, metric), find_owner(one.alert, metric),
            tuple(receiver.id for receiver in told),
        )  # fmt: skip

    def _repeat(self, project: _Project, routing: Routing, now: datetime) -> None:
        """Say of what is wrong that it still is, and tell those that became receivers meanwhile."""
        wrong = {alert: kept for alert, kept in project.kept.items() if kept.watch.incident}
        if not wrong:
            return
        troubles = []
        for alert, kept in wrong.items():
            one = project.alerts.get(alert) or OWN.get(alert)
            # While it is well and only kept firing, nobody is called for it.
            if one is None or not any(
                is_told(one, standing.state) and standing.calm_since is None
                for standing in kept.standings.values()
            ):
                continue
            pause = timedelta(seconds=parse_length(one.repeat))
            lasting = self._find_unanswered(project, one, kept, now) if routing.may_escalate(one) else None
            metric = project.metrics.get(one.metric)
            told = [receiver.id for receiver in routing.find_told(one, metric, kept.standings, now, lasting)]
            first = {receiver.id for receiver in routing.find_told(one, metric, kept.standings, now)}
            called = frozenset(told) - first
            since = None if lasting is None else now - lasting
            troubles.append(Trouble(alert, kept.watch.incident, tuple(told), pause, called, since))
        self.notices.remind(project.name, troubles, now)

    def _find_unanswered(
        self, project: _Project, alert: Alert, kept: Kept, now: datetime
    ) -> timedelta | None:
        """Return for how long people have known of trouble and nobody is at it; None where somebody is, or nobody knows yet.

        It begins anew with a value that joins what somebody is at, and with the end of a silence or an acknowledgement.
        """
        incident = kept.watch.incident
        begun = self.notices.find_told(incident)
        if begun is None:
            return None
        about = [
            one
            for one in self.silences.list(project.name)
            if one.concerns(alert.name, incident) and one.begins_at <= now
        ]
        begins = self.book.find_begins(incident, alert)
        wrong = [key_of(values) for values, one in kept.standings.items() if is_told(alert, one.state)]
        newest = max((begins.get(key, now) for key in wrong), default=now)
        if any(one.ends_at > now and one.begins_at >= newest for one in about):
            return None
        if any(one.ends_at > now for one in about):
            begun = max(begun, newest)
        return now - max([begun, *(one.ends_at for one in about if one.ends_at <= now)])


def _count_missed(project: _Project) -> int:
    return sum(one.watch.missed for one in project.kept.values())


def _add(
    pulse: Pulse,
    *,
    problems: dict[str, str],
    judged: int = 0,
    alerts: int = 0,
    missed: int = 0,
    lag_seconds: float = 0.0,
) -> Pulse:
    """Return a pulse with what one more project adds to it."""
    return msgspec.structs.replace(
        pulse, problems=pulse.problems | problems, judged=pulse.judged + judged, alerts=pulse.alerts + alerts,
        missed=pulse.missed + missed, lag_seconds=max(pulse.lag_seconds, lag_seconds),
    )  # fmt: skip


def _digest(alert: Alert, bodies: Mapping[tuple[str, str], str], metrics: Mapping[str, Metric]) -> str:
    """Return what tells an alert's definition apart, with those of the metrics that it stands on."""
    names, found = [alert.metric], dict[str, str]()
    while names:
        name = names.pop()
        if name not in found:
            found[name] = bodies.get(("metric", name), "")
            names += metrics[name].uses() if name in metrics else ()
    parts = [bodies.get(("alert", alert.name), ""), *(found[name] for name in sorted(found))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
