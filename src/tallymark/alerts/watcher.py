"""Watching: every few seconds all alerts of all projects are judged, and what changed is written.

Comes in: the catalog, the store, and until when the data is complete. Goes out: what the book keeps. The jobs process runs
`tick` in a loop; the command line and the tests call it with a clock of their own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import msgspec
import structlog

from tallymark.alerts.book import Book, Kept, News
from tallymark.alerts.notices import Notices
from tallymark.alerts.own import judge_own
from tallymark.alerts.questions import Questions
from tallymark.alerts.rounds import Outcome, Watched, run_round
from tallymark.alerts.windows import Window
from tallymark.catalog.definitions import Definition, Definitions
from tallymark.catalog.receivers import Receiver, Receivers, choose_receivers
from tallymark.catalog.repository import Catalog
from tallymark.crashpoints import reach
from tallymark.plan.changes import collect_objects
from tallymark.plan.kinds.alert import Alert, parse_length
from tallymark.plan.kinds.metric import Metric
from tallymark.queries.kinds import Question
from tallymark.queries.result import Answer

log = structlog.get_logger("tallymark.alerts")

# In the data folder: what the last round was like, for who looks after the server.
PULSE_FILE: Final = "alerts.json"

Ask = Callable[[str, Question], Answer]
IsQuiet = Callable[[str, Window], bool]


class Pulse(msgspec.Struct, frozen=True, kw_only=True):
    """What the last round was like: when, until when the data was complete, how long it took, what it judged."""

    at: datetime
    complete: datetime
    took_seconds: float
    alerts: int = 0
    judged: int = 0
    missed: int = 0
    problems: dict[str, str] = {}

    @property
    def lag_seconds(self) -> float:
        """How far the data that could be judged is behind."""
        return max(0.0, (self.at - self.complete).total_seconds())


@dataclass(slots=True)
class _Project:
    """What is known of one project: its definitions, and how its alerts stand."""

    kept: dict[str, Kept]
    alerts: dict[str, Alert] = field(default_factory=dict)
    metrics: dict[str, Metric] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    questions: Questions | None = None
    questions_of: str = ""


@dataclass(slots=True)
class Watcher:
    """Judges. One thread calls it; `pool` asks several questions at once."""

    catalog: Catalog
    book: Book
    notices: Notices
    receivers: Receivers
    ask: Ask
    is_quiet: IsQuiet
    pool: Executor
    seconds: int
    _projects: dict[str, _Project] = field(default_factory=dict)
    _version: int = -1

    def tick(self, now: datetime, complete: datetime) -> Pulse:
        """Judge what is due in all projects; `complete` is the time up to which all events are stored."""
        self._read_definitions(now)
        judged, problems = 0, dict[str, str]()
        for name, project in self._projects.items():
            outcomes = self._judge(project, complete)
            judged += len(outcomes)
            problems |= {f"{name}/{one.alert.name}": one.problem for one in outcomes if one.problem}
            receivers = self.receivers.list(name)
            outcomes += judge_own(project.kept, receivers, now, complete) if project.alerts else []
            self._write(name, project, outcomes, receivers, now)
            self._repeat(name, project, now)
        kept = [one for project in self._projects.values() for one in project.kept.values()]
        return Pulse(
            at=now, complete=complete, took_seconds=0.0, judged=judged, problems=problems,
            alerts=sum(len(project.alerts) for project in self._projects.values()),
            missed=sum(one.watch.missed for one in kept),
        )  # fmt: skip

    def definitions_of(self, project: str) -> tuple[dict[str, Alert], dict[str, Metric]]:
        """Return a project's alerts and metrics as the last round knew them."""
        found = self._projects.get(project)
        return (found.alerts, found.metrics) if found else ({}, {})

    def _read_definitions(self, now: datetime) -> None:
        """Read the definitions again where anything in the catalog changed."""
        version = self.catalog.version()
        if version == self._version:
            return
        definitions = Definitions(self.catalog)
        for name in [row.name for row in self.catalog.list_projects()]:
            project = self._projects.get(name)
            if project is None:
                project = self._projects[name] = _Project(self.book.load(name))
            present = [one for one in definitions.list(name) if one.kind in ("metric", "alert")]
            objects = collect_objects(present)
            project.alerts, project.metrics = objects["alert"], objects["metric"]
            bodies = {(one.kind, one.name): one.body for one in present}
            project.digests = {
                alert: _digest(one, bodies, project.metrics) for alert, one in project.alerts.items()
            }
            self._close_gone(name, project, now)
            self._open_questions(name, project, present)
        self._version = version

    def _close_gone(self, name: str, project: _Project, now: datetime) -> None:
        """Close alerts that there are not any more, and those that are broken down by something else now."""
        for alert, kept in list(project.kept.items()):
            present = project.alerts.get(alert)
            if kept.watch.is_own or (present is not None and present.breakdown == kept.watch.breakdown):
                continue
            why = "The alert was taken away." if present is None else "The alert was changed."
            self.book.close(name, alert, why, now)
            del project.kept[alert]

    def _open_questions(self, name: str, project: _Project, present: list[Definition]) -> None:
        """Remember nothing that was asked by other definitions of metrics."""
        bodies = "\0".join(one.body for one in present if one.kind == "metric")
        if project.questions is None or project.questions_of != bodies:
            project.questions_of = bodies
            project.questions = Questions(
                project.metrics,
                lambda question, of=name: self.ask(of, question),  # type: ignore[misc]
                lambda window, of=name: self.is_quiet(of, window),  # type: ignore[misc]
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

    def _write(
        self, name: str, project: _Project, outcomes: list[Outcome], receivers: list[Receiver], now: datetime
    ) -> None:
        """Write outcomes; only then they are what is known."""
        if not outcomes:
            return
        news = [self._build_news(project, one, receivers) for one in outcomes]
        reach("alerts.after_judging_before_write")
        watches = self.book.write(name, news, now)
        reach("alerts.after_write")
        for one, watch in zip(outcomes, watches, strict=True):
            project.kept[one.alert.name] = Kept(watch, one.standings)
            for change in one.changes:
                log.info(
                    "alert_changed", project=name, alert=one.alert.name, values=list(change.values),
                    before=change.before.state, after=change.after.state, at=change.at.isoformat(),
                )  # fmt: skip

    def _build_news(self, project: _Project, one: Outcome, receivers: list[Receiver]) -> News:
        metric = project.metrics.get(one.alert.metric)
        owner = one.alert.owner or (metric.owner if metric else "")
        chosen = choose_receivers(receivers, one.alert.tell, owner) if one.changes else []
        if one.to_all:
            chosen = [receiver for receiver in receivers if receiver.name not in one.not_to]
        title = (metric.title or metric.name) if metric else one.alert.title or one.alert.metric
        unit = "s" if one.watch.is_own else metric.figure_unit if metric else ""
        return News(one, title, unit, owner, tuple(receiver.id for receiver in chosen))

    def _repeat(self, name: str, project: _Project, now: datetime) -> None:
        for alert, kept in project.kept.items():
            if kept.watch.incident:
                one = project.alerts.get(alert)
                pause = timedelta(seconds=parse_length(one.repeat if one else "4h"))
                self.notices.repeat(name, alert, kept.watch.incident, pause, now)


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
