"""Who is told: whom an alert names, who is on call, or whoever looks after its owner's alerts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tallymark.alerts.own import OWN
from tallymark.alerts.standing import Standing
from tallymark.alerts.values import Values
from tallymark.catalog.receivers import Receiver
from tallymark.plan.kinds.alert import Alert
from tallymark.plan.kinds.metric import Metric
from tallymark.plan.kinds.rota import Rota

# Among a receiver's owners: it is told about the alerts of all.
EVERYBODY: Final = "*"


@dataclass(frozen=True, slots=True)
class Routing:
    """The receivers and rotas of a project."""

    receivers: Sequence[Receiver]
    rotas: Mapping[str, Rota]

    def find_told(
        self,
        alert: Alert,
        metric: Metric | None,
        standings: Mapping[Values, Standing],
        now: datetime,
        lasting: timedelta | None = None,
    ) -> list[Receiver]:
        """Return who is told of an alert that stands so.

        `lasting` is for how long nobody has answered, None where that does not matter. Of our own alerts all are told.
        """
        if alert.name in OWN:
            return leave_out_failing(self.receivers, standings)
        known = {one.name for one in self.receivers}
        names: list[str] = []
        for name in alert.tell:
            rota = self.rotas.get(name)
            names += rota.find_told(now, lasting, known) if rota else [name]
        return choose_receivers(self.receivers, names, find_owner(alert, metric))

    def find_unknown(self, alert: Alert) -> list[str]:
        """Return the names that an alert tells and that are neither receivers nor rotas."""
        known = {one.name for one in self.receivers}
        return [name for name in alert.tell if name not in known and name not in self.rotas]

    def may_escalate(self, alert: Alert) -> bool:
        """Tell whether others are told while nobody answers."""
        return any(name in self.rotas for name in alert.tell)


def find_owner(alert: Alert, metric: Metric | None) -> str:
    """Return whose alert it is: its own owner, or that of its metric; '' for nobody."""
    return alert.owner or (metric.owner if metric else "")


def choose_receivers(receivers: Sequence[Receiver], names: Sequence[str], owner: str) -> list[Receiver]:
    """Return those that an alert names, and where there is none of them those of its owner and of everybody."""
    named = [one for one in receivers if one.name in names]
    if named:
        return named
    everybody = [one for one in receivers if EVERYBODY in one.owners]
    own = [one for one in receivers if owner and owner.casefold() in {name.casefold() for name in one.owners}]
    return list(dict.fromkeys([*own, *everybody]))


def leave_out_failing(receivers: Iterable[Receiver], standings: Mapping[Values, Standing]) -> list[Receiver]:
    """Return who is told of one of our own alerts: all but the receivers that it is about."""
    about = {str(values[0]) for values, one in standings.items() if values and one.state == "firing"}
    return [one for one in receivers if one.name not in about]
