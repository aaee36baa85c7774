"""Who may do what on the API: one line at the top of every handler that takes a key."""

from __future__ import annotations

from typing import Any

from litestar import Request

from tallymark.catalog.snapshot import KeyHolder
from tallymark.intake.auth import check_key, parse_key
from tallymark.web.services import Services


def require_key(request: Request[Any, Any, Any], services: Services, action: str) -> KeyHolder:
    """Return the project and scope of the request's key; raises RequestRefused (unauthorized, forbidden)."""
    key = parse_key(request.headers.get("authorization"), request.query_params)
    holder = check_key(services.snapshots.current(), key, action)
    name_owner(request, holder.project)
    return holder


def name_owner(request: Request[Any, Any, Any], project: str) -> None:
    """Tell the HTTP server whose the answer is: answers that wait for their readers are bounded for each project."""
    request.scope["state"]["owner"] = project
