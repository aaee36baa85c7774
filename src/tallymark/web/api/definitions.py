"""Metrics and dashboards over the API: `/v1/metrics`, `/v1/dashboards`, one set of routes for every kind of the plan.

Who changes an object says which version they saw; what stands in a file is changed there.
"""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response, delete, get, put
from litestar.handlers import HTTPRouteHandler

from tallymark.catalog.definitions import Definition
from tallymark.errors import RequestRefused
from tallymark.plan.kinds import KINDS, Kind
from tallymark.plan.objects import decode_object, parse_object
from tallymark.web.access import require_key
from tallymark.web.answers import parse_count, render_json
from tallymark.web.defining import not_found, remove_object, save_object
from tallymark.web.parameters import KEY, handled
from tallymark.web.services import Services


class Shown(msgspec.Struct, frozen=True):
    """An object with where it stands and who changed it last; `file` is '' for what was made here."""

    object: Any
    version: int
    file: str
    changed_at: Any
    changed_by: str


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes of all kinds."""
    return [route for kind in KINDS for route in _build_routes(services, kind)]


def show(one: Definition) -> Shown:
    """Return a definition as the API shows it."""
    return Shown(decode_object(one.kind, one.body), one.version, one.file, one.changed_at, one.changed_by)


def _build_routes(services: Services, kind: Kind) -> list[HTTPRouteHandler]:
    path, one_path = f"/v1/{kind.plural}", f"/v1/{kind.plural}/{{name:str}}"
    tags = [kind.plural]

    @get(
        path,
        name=f"list_{kind.plural}",
        summary=f"The project's {kind.plural}",
        tags=tags,
        security=[{"read": []}],
        takes=(KEY,),
    )
    async def list_objects(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Return all objects of the kind, with version, file and last change."""
        holder = require_key(request, services, "read")
        found = await services.read(holder.project, services.definitions.list, holder.project, kind.name)
        return render_json({kind.plural: [show(one) for one in found]})

    @get(
        one_path,
        name=f"get_{kind.name}",
        summary=f"One {kind.name}",
        tags=tags,
        security=[{"read": []}],
        takes=(KEY,),
    )
    async def get_object(request: Request[Any, Any, Any], name: str) -> Response[bytes]:
        """Return one object."""
        holder = require_key(request, services, "read")
        found = await services.read(
            holder.project, services.definitions.find, holder.project, kind.name, name
        )
        if found is None:
            raise not_found(kind, name)
        return render_json(show(found))

    @put(
        one_path,
        name=f"put_{kind.name}",
        status_code=200,
        summary=f"Make or change a {kind.name}",
        tags=tags,
        security=[{"admin": []}],
        takes=(handled("version"), KEY),
    )
    async def put_object(request: Request[Any, Any, Any], name: str) -> Response[bytes]:
        """Write the object in the body; `version` is the version that you saw, none for a new one."""
        holder = require_key(request, services, "admin")
        one = parse_object(kind, _decode(await request.body(), name))
        seen = parse_count(request.query_params.get("version"), "version", 0, 2**31)
        await services.read(holder.project, _save, services, holder.project, kind, one, seen)
        found = await services.read(
            holder.project, services.definitions.find, holder.project, kind.name, name
        )
        return render_json(show(found) if found else {})

    @delete(
        one_path,
        name=f"delete_{kind.name}",
        status_code=200,
        summary=f"Remove a {kind.name}",
        tags=tags,
        security=[{"admin": []}],
        takes=(handled("version"), KEY),
    )
    async def delete_object(request: Request[Any, Any, Any], name: str) -> Response[bytes]:
        """Remove the object, in the `version` that you saw or, without one, in any."""
        holder = require_key(request, services, "admin")
        seen = parse_count(request.query_params.get("version"), "version", 0, 2**31)
        await services.read(
            holder.project, remove_object, services, holder.project, kind, name, seen=seen, who="an admin key"
        )
        return render_json({"removed": name})

    return [list_objects, get_object, put_object, delete_object]


def _save(services: Services, project: str, kind: Kind, one: Any, seen: int) -> None:
    """Write an object; who takes an existing one for a new one is told how to change it. Blocking."""
    try:
        save_object(services, project, kind, one, seen=seen, who="an admin key")
    except RequestRefused as refusal:
        present = services.definitions.find(project, kind.name, one.name)
        if refusal.code != "conflict" or seen or present is None:
            raise
        message = f"{refusal.message} ?version={present.version} changes it."
        raise RequestRefused(refusal.code, message, at=refusal.at) from None


def _decode(body: bytes, name: str) -> dict[str, Any]:
    """Return the body as an object whose name is that of the address."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RequestRefused("invalid_definition", f"The body is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise RequestRefused("invalid_definition", "The body is a JSON object.")
    if value.setdefault("name", name) != name:
        raise RequestRefused("invalid_definition", f"The address says {name!r}.", at="name")
    return value
