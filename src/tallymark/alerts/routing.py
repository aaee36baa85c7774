"""Who is told: whom an alert names, who is on call, or whoever looks after its owner's alerts. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from tallymark.alerts.standing import Standing
from tallymark.alerts.values import Values
from tallymark.catalog.receivers import Receiver
from tallymark.plan.kinds.alert import Alert
from tallymark.plan.kinds.metric import Metric
from tallymark.plan.kinds.rota import Rota


def find_owner(alert: Alert, metric: Metric | None) -> str:
    """Return whose alert it is: its own owner, or that of its metric; '' for nobody."""
    return alert.owner or (metric.owner if metric else "")


def name_watched(alert: Alert, metric: Metric | None) -> str:
    """Return what is watched, for people."""
    return (metric.title or metric.name) if metric else alert.title or alert.metric


def expand_rotas(
    told: Sequence[str],
    rotas: Mapping[str, Rota],
    known: Container[str],
    now: datetime,
    lasting: timedelta | None = None,
) -> list[str]:
    """Return the receivers that an alert names, with those who are on call for the rotas that it names.

    `known` are the receivers that there are; `lasting` is for how long nobody has answered, None where that does not matter.
    """
    names: list[str] = []
    for name in told:
        rota = rotas.get(name)
        names += rota.find_told(now, lasting, known) if rota else [name]
    return list(dict.fromkeys(names))


def leave_out_failing(receivers: Iterable[Receiver], standings: Mapping[Values, Standing]) -> list[Receiver]:
    """Return who is told of one of our own alerts: all but the receivers that it is about."""
    about = {str(values[0]) for values, one in standings.items() if values and one.state == "firing"}
    return [one for one in receivers if one.name not in about]
