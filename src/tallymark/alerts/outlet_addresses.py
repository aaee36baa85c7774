"""Addresses of receivers: which can be told, what is wrong with the others, and what of them may be shown.

Comes in: an address as somebody wrote it. Goes out: what its service's code is set up with, or a sentence without secrets.
It loads apprise, so it is imported by the sending process alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, Final
from urllib.parse import unquote

from apprise import plugins
from apprise.manager_plugins import NotificationManager

from tallymark.alerts.outlet_services import LOCAL, READ_BY_NAME, WEBHOOKS, WELL_KNOWN

SERVICES: Final[Any] = NotificationManager()  # type: ignore[no-untyped-call]
_PARSE: Final[Callable[[str], dict[str, Any] | None]] = plugins.url_to_dict


class Unfit(ValueError):
    """An address that cannot be told; its text is a sentence for people, without secrets."""


def parse_address(url: str) -> dict[str, Any]:
    """Read an address into what its service's code is set up with; raises Unfit."""
    service = re.match(r"[a-z0-9]{1,32}(?=://)", url.lower())
    if service is None or not url.isprintable():
        raise Unfit(f"A receiver's address is one line and begins with its service. {_list_services()}")
    found = None if service.group() in LOCAL else _PARSE(url)
    schema = service.group() if found is None else found["schema"]
    if schema in LOCAL:
        raise Unfit(f"{schema}:// stays on this machine, which no receiver may. {_list_services()}")
    if found is None:
        raise Unfit(explain_service(schema))
    if not SERVICES[schema].enabled:
        raise Unfit(f"{schema}:// needs a library that is not installed here. {_list_services()}")
    if not found.get("verify", True):
        raise Unfit("The receiver's certificate is always checked. Take verify=no away.")
    if found.get("redirect"):
        raise Unfit("Redirects are not followed. Take redirect=yes away.")
    return dict(found)


def explain_service(schema: str) -> str:
    """Say what an address of a service looks like, or which services there are."""
    if schema in {"http", "https"}:
        return "For a webhook write jsons:// in place of https://, and json:// in place of http://."
    if schema not in SERVICES:
        return f"No service has addresses with {schema}://. {_list_services(schema)}"
    plugin = SERVICES[schema]
    forms = ", ".join(form.replace("{schema}", schema) for form in plugin.templates[:3])
    return f"This is not an address of {plugin.service_name}. Allowed are {forms}; see {plugin.setup_url}."


def _list_services(schema: str = "") -> str:
    """Say which services there are, those first whose names are like this one."""
    allowed = sorted(set(SERVICES.schemas()) - LOCAL)
    shown = dict.fromkeys([*get_close_matches(schema, allowed), *WELL_KNOWN])
    names = ", ".join(f"{name}://" for name in shown)
    return f"Allowed are {names} and {len(allowed) - len(shown)} others of apprise."


def render_hidden(plugin: Any) -> str:
    """Return what of an address may be shown: apprise's own form for that, without what it still tells."""
    if plugin.schema in READ_BY_NAME:
        return f"{plugin.schema}://****"
    if plugin.schema in WEBHOOKS:
        port = f":{plugin.port}" if plugin.port else ""
        path = "/****" if plugin.fullpath.strip("/") else ""
        return f"{plugin.schema}://{'****@' if plugin.user else ''}{plugin.host}{port}{path}"
    # Options may be headers and the like.
    shown = unquote(plugin.url(privacy=True).partition("?")[0])
    return f"{plugin.schema}://****" if plugin.password and plugin.password in shown else shown
