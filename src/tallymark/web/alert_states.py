"""How alerts stand, as pages, API and command line show them: with their values, troubles, who is on call, what they did.

Comes in: what the book keeps, and the definitions. Blocking; may be used from several threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tallymark.alerts.changes import ChangeRow, Kept, Watch
from tallymark.alerts.notices import Delivery
from tallymark.alerts.own import OWN
from tallymark.alerts.routing import Routing, find_owner
from tallymark.alerts.silences import Silence
from tallymark.alerts.standing import OPEN, ORDER, Standing, State, is_told, show_standing
from tallymark.alerts.values import Values
from tallymark.alerts.words import (
    find_unit,
    name_watched,
    write_condition,
    write_days,
    write_judged,
)
from tallymark.catalog.definitions import Definition
from tallymark.catalog.receivers import Receiver
from tallymark.errors import RequestRefused
from tallymark.plan.changes import collect_objects
from tallymark.plan.kinds.alert import Alert
from tallymark.plan.kinds.metric import Metric
from tallymark.plan.kinds.rota import NEXT, Rota
from tallymark.plan.objects import decode_object
from tallymark.web.services import Services


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
    # Names that it tells and that nobody has.
    unknown: list[str]
    silence: Silence | None
    # Of the last round that judged it; None before the first.
    watch: Watch | None
    # Windows that never were judged, and the ends of the first and the last of the newest stretches of them.
    missed: int
    gaps: tuple[tuple[datetime, datetime], ...]
    definition: Definition | None = None

    @property
    def is_wrong(self) -> bool:
        """Whether something is wrong that people are told of; of what has had no data since the watch began nobody is."""
        return self.incident > 0 and is_told(self.alert, self.state)

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
    """A change with what it says in words, and what became of telling it; `day` names the days that an alert on whole days means."""

    change: ChangeRow
    day: str
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
    routing = Routing(desk.receivers.list(project), objects["rota"])
    silences = desk.silences.list(project, now)
    alerts = {**objects["alert"], **{name: one for name, one in OWN.items() if name in kept}}
    found = [
        _show(
            alert,
            objects["metric"].get(alert.metric),
            kept.get(name),
            routing,
            silences,
            now,
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
    shown = [one for one in list_alerts(services, project, wrong) if one.is_wrong]
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
    routing: Routing,
    silences: list[Silence],
    now: datetime,
    definition: Definition | None,
) -> Shown:
    standings = kept.standings if kept else {}
    shown = {values: show_standing(one) for values, one in standings.items()}
    values = sorted(shown.items(), key=lambda one: (_rank(one[1].state), str(one[0])))
    incident = kept.watch.incident if kept else 0
    silence = next((one for one in silences if one.concerns(alert.name, incident)), None)
    return Shown(
        alert,
        values[0][1].state if values else None,
        values,
        find_unit(alert, metric),
        name_watched(alert, metric),
        find_owner(alert, metric),
        incident,
        routing.find_told(alert, metric, standings, now),
        routing.find_unknown(alert),
        silence,
        kept.watch if kept else None,
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
            write_days(one.cause.alert, one.at),
            write_judged(one.cause.alert, one.cause.standing.judged, one.cause.unit),
            told.get(one.id, []),
        )
        for one in changes
    ]
