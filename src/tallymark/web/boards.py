"""Reading a dashboard by its name, and a panel of it: what pages, forms and embeds begin with. Blocking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tallymark.catalog.definitions import Definition
from tallymark.errors import RequestRefused
from tallymark.plan.kinds.dashboard import Dashboard, Panel
from tallymark.plan.objects import decode_object
from tallymark.web.services import Services


def find_dashboard(
    services: Services, project: str, name: str, at: str = "name"
) -> tuple[Definition, Dashboard]:
    """Return a dashboard as it is kept and as an object; raises RequestRefused (not_found), whose place is `at`."""
    found = services.definitions.find(project, "dashboard", name)
    if found is None:
        raise RequestRefused("not_found", f"There is no dashboard {name[:80]!r}.", at=at)
    return found, decode_object("dashboard", found.body)


def list_boards(present: Iterable[Definition]) -> list[tuple[str, str]]:
    """Return names and titles of the dashboards that no file owns: those that can be changed here."""
    return [
        (one.name, decode_object("dashboard", one.body).title or one.name)
        for one in present
        if one.kind == "dashboard" and not one.origin
    ]


def parse_gone(fields: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the panels that are marked to be removed, each once."""
    return tuple(dict.fromkeys(fields.get("gone", "").split()))


def find_panel(dashboard: Dashboard, name: str) -> Panel:
    """Return a dashboard's panel; raises RequestRefused (not_found)."""
    panel = next((panel for panel in dashboard.panels if panel.name == name), None)
    if panel is None:
        names = ", ".join(one.name for one in dashboard.panels)
        raise RequestRefused("not_found", f"There is no panel {name[:80]!r}. Panels: {names}.", at="panel")
    return panel
