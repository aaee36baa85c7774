"""Alerts as pages, API and command line show and change them. Blocking; may be used from several threads.

Comes in: what the book keeps, and the definitions. Goes out: alerts with how they stand, previews, silences, receivers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from tallymark.alerts.changes import ChangeRow, Kept
from tallymark.alerts.notices import Delivery
from tallymark.alerts.outlets import Message
from tallymark.alerts.own import OWN
from tallymark.alerts.preview import MOST_WINDOWS, Preview, replay
from tallymark.alerts.questions import Questions
from tallymark.alerts.routing import expand_rotas, find_owner, leave_out_failing, name_watched
from tallymark.alerts.silences import Silence
from tallymark.alerts.standing import OPEN, ORDER, Standing, State, is_told
from tallymark.alerts.values import Values
from tallymark.alerts.watcher import Pulse
from tallymark.alerts.words import name_values, write_condition, write_judged, write_since
from tallymark.catalog.definitions import Definition
from tallymark.catalog.receivers import Receiver, choose_receivers
from tallymark.errors import RequestRefused, TallymarkError
from tallymark.plan.changes import collect_objects
from tallymark.plan.kinds.alert import Alert
from tallymark.plan.kinds.metric import Metric
from tallymark.plan.kinds.rota import NEXT, Rota
from tallymark.plan.objects import decode_object
from tallymark.plan.words import is_name
from tallymark.queries.events import find_present
from tallymark.web.services import Services

_STALE: Final = timedelta(minutes=2)
# What is replayed where nobody says which time.
LAST_WEEK: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Shown:
    """One alert with how it stands: its worst state, its values, the worst first, and who is told."""

    alert: Alert
    state: State | None
    values: list[tuple[Values, Standing]]
    unit: str
    title: str
    owner: str
    incident: int
    receivers: list[Receiver]
    silence: Silence | None
    # Windows that never were judged, and the ends of the first and the last of the newest stretches of them.
    missed: int
    gaps: tuple[tuple[datetime, datetime], ...]
    definition: Definition | None = None

    @property
    def is_own(self) -> bool:
        """Whether it stands in no file."""
        return self.alert.name in OWN

    @property
    def condition(self) -> str:
        """When it fires, in words."""
        return f"{self.title} is {write_condition(self.alert, self.unit)}"

    def describe(self, standing: Standing) -> str:
        """Return what was seen last, in words."""
        return write_judged(self.alert, standing.judged, self.unit)


@dataclass(frozen=True, slots=True)
class ShownChange:
    """A change with what it says in words, and what became of telling it."""

    change: ChangeRow
    text: str
    deliveries: list[Delivery]


def list_alerts(services: Services, project: str, names: frozenset[str] = frozenset()) -> list[Shown]:
    """Return alerts with how they stand, the worst first; those of these names where some are given."""
    definitions = [
        one for one in services.definitions.list(project) if one.kind in ("metric", "alert", "rota")
    ]
    objects = collect_objects(definitions)
    by_name = {one.name: one for one in definitions if one.kind == "alert"}
    desk, now = services.desk, services.clock.now()
    kept = desk.book.load(project)
    receivers = desk.receivers.list(project)
    silences = desk.silences.list(project, now)
    alerts = {**objects["alert"], **{name: one for name, one in OWN.items() if name in kept}}
    found = [
        _show(
            alert,
            objects["metric"].get(alert.metric),
            kept.get(name),
            expand_rotas(alert.tell, objects["rota"], {one.name for one in receivers}, now),
            receivers,
            silences,
            by_name.get(name),
        )
        for name, alert in alerts.items()
        if not names or name in names
    ]
    return sorted(found, key=lambda one: (_rank(one.state), one.alert.severity != "page", one.alert.name))


@dataclass(frozen=True, slots=True)
class Troubles:
    """The alerts in trouble: those of a person, or of whom they look after, and how many more there are. `watched`: all alerts."""

    mine: list[Shown]
    others: int
    watched: int

    @property
    def mark(self) -> str:
        """What changes when what is to be said about them does."""
        parts = [(one.alert.name, one.state, one.incident, one.silence is not None) for one in self.mine]
        return repr((parts, self.others, self.watched))


def find_troubles(services: Services, project: str, person: str) -> Troubles:
    """Return the alerts in which something is wrong that people are told of."""
    definitions = services.definitions.list(project, "alert")
    states = services.desk.book.list_states(project) if definitions else {}
    wrong = frozenset(name for name, found in states.items() if OPEN & set(found))
    if not wrong:
        return Troubles([], 0, len(definitions))
    shown = [one for one in list_alerts(services, project, wrong) if is_told(one.alert, one.state)]
    owners = {person.casefold(), *(name.casefold() for name in services.follows.list(person, project))}
    # Our own alerts are everybody's.
    mine = [one for one in shown if one.is_own or one.owner.casefold() in owners]
    return Troubles(mine, len(shown) - len(mine), len(definitions))


def find_alert(services: Services, project: str, name: str) -> Shown:
    """Return one alert; raises RequestRefused (not_found)."""
    found = list_alerts(services, project, frozenset({name}))
    if not found:
        raise RequestRefused("not_found", f"There is no alert {name[:80]!r}.", at="name")
    return found[0]


def _show(
    alert: Alert,
    metric: Metric | None,
    kept: Kept | None,
    told: list[str],
    receivers: list[Receiver],
    silences: list[Silence],
    definition: Definition | None,
) -> Shown:
    standings = kept.standings if kept else {}
    values = sorted(standings.items(), key=lambda one: (_rank(one[1].state), str(one[0])))
    owner = find_owner(alert, metric)
    incident = kept.watch.incident if kept else 0
    silence = next((one for one in silences if one.concerns(alert.name, incident)), None)
    return Shown(
        alert,
        values[0][1].state if values else None,
        values,
        "s" if alert.name in OWN else metric.figure_unit if metric else "",
        name_watched(alert, metric),
        owner,
        incident,
        leave_out_failing(receivers, standings)
        if alert.name in OWN
        else choose_receivers(receivers, told, owner),
        silence,
        kept.watch.missed if kept else 0,
        kept.watch.gaps if kept else (),
        definition,
    )


def _rank(state: State | None) -> int:
    return ORDER.index(state) if state in ORDER else len(ORDER)


@dataclass(frozen=True, slots=True)
class OnCall:
    """A rota with who is on call now, until when, and who is next."""

    rota: Rota
    definition: Definition
    present: str
    until: datetime
    following: str
    # Those of its people who are no receivers: they are passed over.
    missing: list[str]
    # Whether a receiver has the same name: alerts that name it tell the rota.
    hides_receiver: bool


def list_on_call(services: Services, project: str) -> list[OnCall]:
    """Return the rotas of a project as they stand now."""
    now, found = services.clock.now(), []
    known = {one.name for one in services.desk.receivers.list(project)}
    for one in services.definitions.list(project, "rota"):
        rota: Rota = decode_object("rota", one.body)
        present, until = rota.find_turn(now)
        people = [*rota.people, *(name for step in rota.escalate for name in step.tell if name != NEXT)]
        missing = [name for name in dict.fromkeys(people) if name not in known]
        found.append(OnCall(rota, one, present, until, rota.find_turn(until)[0], missing, one.name in known))
    return found


def list_history(services: Services, project: str, alert: str = "", most: int = 100) -> list[ShownChange]:
    """Return changes, the newest first, with who was told."""
    changes = services.desk.book.list_changes(project, alert, most=most)
    told = services.desk.notices.list_deliveries([one.id for one in changes])
    return [
        ShownChange(
            one,
            write_judged(one.cause.alert, one.cause.standing.judged, one.cause.unit),
            told.get(one.id, []),
        )
        for one in changes
    ]


def preview_alert(
    services: Services,
    project: str,
    alert: Alert,
    metrics: Mapping[str, Metric],
    start: datetime,
    end: datetime,
    most: int = MOST_WINDOWS,
) -> Preview:
    """Replay an alert, which need not be saved, over a time; raises RequestRefused as questions do.

    Of more than `most` windows it looks at every second, fifth, ... one.
    """
    metric = metrics.get(alert.metric)
    if metric is None:
        raise RequestRefused("not_found", f"There is no metric {alert.metric!r}.", at="metric")

    questions = Questions(
        metrics,
        lambda question: services.answer(question, project, explain=False),
        lambda window: find_present(services.store, project, window.start, window.end, services.query_limits),
    )
    return replay(alert, metric, start, end, questions, services.desk.pool, most)


def add_receiver(services: Services, project: str, name: str, url: str, owners: list[str], who: str) -> str:
    """Add a receiver, or change the one of this name; returns what of its address may be shown. Raises RequestRefused."""
    if not is_name(name):
        message = f"{name[:80]!r} is no name. Use a-z, 0-9 and _, beginning with a letter."
        raise RequestRefused("invalid_request", message, at="name")
    owners = [one.strip() for one in owners if one.strip()]
    if not owners:
        raise RequestRefused("invalid_request", "Whose alerts? Give owners, or * for all.", at="owners")
    if services.definitions.find(project, "rota", name) is not None:
        message = f"{name} is a rota: an alert that names it tells whoever is on call. Choose another name."
        raise RequestRefused("invalid_request", message, at="name")
    problem = services.desk.outlets.check(url.strip())
    if problem:
        raise RequestRefused("invalid_request", problem, at="url")
    hint = services.desk.outlets.hide_secrets(url.strip())
    services.desk.receivers.create(project, name, url.strip(), hint, owners, who, services.clock.now())
    return hint


def try_receiver(services: Services, project: str, name: str) -> str:
    """Send a test message to a receiver, and note what came of it; returns '' or why it did not arrive.

    Raises RequestRefused (not_found).
    """
    found = next((one for one in services.desk.receivers.list(project) if one.name == name), None)
    if found is None:
        raise RequestRefused("not_found", f"There is no receiver {name[:80]!r}.", at="name")
    now = services.clock.now()
    key = f"test-{project}-{name}-{int(now.timestamp())}"
    message = Message(
        title=f"A test from tallymark: {project}",
        text=f"This is how alerts for {', '.join(found.owners)} will arrive. Nothing is wrong.",
        key=key, id=key, kind="test", facts={"project": project, "receiver": name},
    )  # fmt: skip
    receivers = services.desk.receivers
    try:
        error = services.desk.outlets.send(receivers.open_address(found.id, project, name), message)
    except TallymarkError as sealed:
        error = sealed.message
    receivers.note(found.id, error, services.clock.now())
    return error


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
        "receivers": [receiver.name for receiver in one.receivers],
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
            "text": write_judged(alert, one.judged, unit),
            "time": f"{write_since(alert, one.start)} to {write_since(alert, one.end)}",
        }
        for one in preview.stretches
    ]
    return {**msgspec.structs.asdict(preview), "stretches": stretches}


def is_stale(pulse: Pulse | None, now: datetime) -> bool:
    """Tell whether alerts have not been judged for a while."""
    return pulse is None or now - pulse.at > _STALE
