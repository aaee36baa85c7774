"""Bells: which alerts watch a metric and how they stand, for wherever it is shown. Blocking."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from tallymark.alerts.standing import ORDER, State, is_told
from tallymark.plan.kinds.alert import Alert
from tallymark.plan.objects import decode_object
from tallymark.web.services import Services


@dataclass(frozen=True, slots=True)
class Bell:
    """An alert that watches a metric, with the state that is shown: its worst; None before it was judged."""

    alert: Alert
    state: State | None
    # Nothing is wrong yet: there has been no data since the watch began.
    is_new: bool = False

    @property
    def rings(self) -> bool:
        """Whether something is wrong that people are told of."""
        return not self.is_new and is_told(self.alert, self.state)


def list_bells(services: Services, project: str) -> dict[str, list[Bell]]:
    """Return the alerts by the metric that they watch, those in trouble first."""
    alerts = [decode_object("alert", one.body) for one in services.definitions.list(project, "alert")]
    states = services.desk.book.list_states(project) if alerts else {}
    never = services.desk.book.list_never(project) if alerts else frozenset()
    bells: dict[str, list[Bell]] = defaultdict(list)
    for alert in alerts:
        state = min(states.get(alert.name, ()), key=ORDER.index, default=None)
        is_new = alert.name in never
        bells[alert.metric].append(Bell(alert, "no data" if is_new else state, is_new))
    for found in bells.values():
        found.sort(key=lambda one: (not one.rings, one.alert.severity != "page", one.alert.name))
    return dict(bells)
