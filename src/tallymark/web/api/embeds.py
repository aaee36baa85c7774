"""Embeds over the API: allow one panel to be shown in other sites, list, revoke. Admin keys only."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.handlers import HTTPRouteHandler

from tallymark.catalog.embeds import Embed
from tallymark.errors import RequestRefused
from tallymark.web.access import require_key
from tallymark.web.addresses import find_address
from tallymark.web.answers import decode_body, render_json
from tallymark.web.embed_tokens import sign_token
from tallymark.web.embedding import EmbedOrder, create_embed
from tallymark.web.parameters import KEY
from tallymark.web.services import Services


class ShownEmbed(msgspec.Struct, frozen=True):
    """An embed and its addresses; those of one that is over or revoked are empty."""

    id: int
    dashboard: str
    panel: str
    filters: Any
    created_at: datetime
    created_by: str
    expires_at: datetime
    revoked_at: datetime | None
    url: str
    picture: str
    frame: str


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""

    def show(request: Request[Any, Any, Any], embed: Embed) -> ShownEmbed:
        alive = embed.revoked_at is None and services.clock.now() < embed.expires_at
        url = (
            f"{find_address(services.public_url, request)}/embed/{sign_token(embed, services.secret)}"
            if alive
            else ""
        )
        frame = (
            f'<iframe src="{url}" width="640" height="400" loading="lazy" title="{embed.panel}"></iframe>'
            if url
            else ""
        )
        return ShownEmbed(
            embed.id,
            embed.dashboard,
            embed.panel,
            msgspec.json.decode(embed.filters),
            embed.created_at,
            embed.created_by,
            embed.expires_at,
            embed.revoked_at,
            url,
            f"{url}/panel.svg" if url else "",
            frame,
        )

    @get(
        "/v1/embeds",
        summary="Panels shown elsewhere",
        tags=["embeds"],
        security=[{"admin": []}],
        takes=(KEY,),
    )
    async def list_embeds(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Return all embeds of the project, the newest first."""
        holder = require_key(request, services, "admin")
        found = await services.read(holder.project, services.embeds.list, holder.project)
        return render_json({"embeds": [show(request, one) for one in found]})

    @post(
        "/v1/embeds",
        status_code=201,
        summary="Show a panel elsewhere",
        tags=["embeds"],
        security=[{"admin": []}],
        takes=(KEY,),
    )
    async def make_embed(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Make a token for one panel: `{"dashboard": "shop", "panel": "orders", "days": 90}`."""
        holder = require_key(request, services, "admin")
        order = decode_body(await request.body(), EmbedOrder)
        embed = await services.read(
            holder.project, create_embed, services, holder.project, order, "an admin key"
        )
        return render_json(show(request, embed), 201)

    @delete(
        "/v1/embeds/{embed_id:int}",
        status_code=200,
        summary="End an embed",
        tags=["embeds"],
        security=[{"admin": []}],
        takes=(KEY,),
    )
    async def end_embed(request: Request[Any, Any, Any], embed_id: int) -> Response[bytes]:
        """Make a token useless at once."""
        holder = require_key(request, services, "admin")
        if not 0 < embed_id < 2**31:
            raise RequestRefused("not_found", f"There is no embed {embed_id} in use.", at="id")
        await services.read(holder.project, services.embeds.revoke, embed_id, holder.project)
        return render_json({"revoked": embed_id})

    return [list_embeds, make_embed, end_embed]
