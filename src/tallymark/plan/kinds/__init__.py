"""The kinds of object that a plan holds. Adding one is a file here and a line in `KINDS`.

Each module offers `KIND`, `PLURAL` (its key in files), the type of its objects and `check`. What its objects refer to
is looked up among the objects of earlier kinds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tallymark.plan.kinds import alert, dashboard, metric, rota


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind: its name, the key of its list in a file, the type of its objects.

    `check(object, objects)` raises RequestRefused for what the type cannot tell; `objects` are all of the project's, by
    kind and name.
    """

    name: str
    plural: str
    type: Any
    check: Callable[[Any, dict[str, dict[str, Any]]], None]


def _check_metric(one: Any, objects: dict[str, dict[str, Any]]) -> None:
    metric.check(one, objects[metric.KIND])


def _check_dashboard(one: Any, objects: dict[str, dict[str, Any]]) -> None:
    dashboard.check(one, objects[metric.KIND])


def _check_alert(one: Any, objects: dict[str, dict[str, Any]]) -> None:
    alert.check(one, objects[metric.KIND])


def _check_rota(one: Any, objects: dict[str, dict[str, Any]]) -> None:  # noqa: ARG001 - receivers are no objects
    rota.check(one)


KINDS: Final = (
    Kind(metric.KIND, metric.PLURAL, metric.Metric, _check_metric),
    Kind(dashboard.KIND, dashboard.PLURAL, dashboard.Dashboard, _check_dashboard),
    Kind(alert.KIND, alert.PLURAL, alert.Alert, _check_alert),
    Kind(rota.KIND, rota.PLURAL, rota.Rota, _check_rota),
)
BY_NAME: Final = {kind.name: kind for kind in KINDS}
BY_PLURAL: Final = {kind.plural: kind for kind in KINDS}
