"""Keys and switches of a project, for its admin key: list, make, revoke."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.handlers import HTTPRouteHandler

from tallymark.errors import RequestRefused
from tallymark.web.access import require_key
from tallymark.web.answers import decode_body, render_json
from tallymark.web.parameters import KEY
from tallymark.web.services import Services


class KeyOrder(msgspec.Struct, forbid_unknown_fields=True):
    """A key to be made: write, read or admin."""

    scope: str
    name: str = ""


class NewKey(msgspec.Struct):
    """A key that was made; it is shown this once."""

    key: str
    scope: str
    project: str


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""

    @get("/v1/keys", summary="Keys of the project", tags=["keys"], security=[{"admin": []}], takes=(KEY,))
    async def get_keys(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Return the project's keys without the keys themselves."""
        holder = require_key(request, services, "admin")
        return render_json(
            {"keys": await services.read(holder.project, services.catalog.list_keys, holder.project)}
        )

    @post(
        "/v1/keys",
        status_code=201,
        summary="Make a key",
        tags=["keys"],
        security=[{"admin": []}],
        takes=(KEY,),
    )
    async def post_key(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Make a key of the project: `{"scope": "write", "name": "web shop"}`."""
        holder = require_key(request, services, "admin")
        order = decode_body(await request.body(), KeyOrder)
        key = await services.read(
            holder.project, services.catalog.create_key, holder.project, order.scope, order.name[:128]
        )
        await services.read(holder.project, services.snapshots.look)
        return render_json(NewKey(key, order.scope, holder.project), 201)

    @delete(
        "/v1/keys/{key_id:int}",
        status_code=200,
        summary="Revoke a key",
        tags=["keys"],
        security=[{"admin": []}],
        takes=(KEY,),
    )
    async def delete_key(request: Request[Any, Any, Any], key_id: int) -> Response[bytes]:
        """Make a key useless at once."""
        holder = require_key(request, services, "admin")
        if not 0 < key_id < 2**31:
            raise RequestRefused("not_found", f"There is no key {key_id} in use.", at="id")
        await services.read(holder.project, services.catalog.revoke_key, key_id, holder.project)
        await services.read(holder.project, services.snapshots.look)
        return render_json({"revoked": key_id})

    return [get_keys, post_key, delete_key]
