"""`POST /v1/plan`: a folder of YAML files in, what would change out, and the change itself where it is asked for.

`GET /v1/plan/export` gives all objects back as files, `GET /v1/plan/schema` the JSON Schema for editors.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler

from tallymark.catalog.definitions import Definition, Write
from tallymark.errors import RequestRefused
from tallymark.plan.changes import Plan, Prepared, collect_objects, prepare
from tallymark.plan.files import MAX_FILES, MAX_OBJECTS, File
from tallymark.plan.kinds import KINDS
from tallymark.plan.objects import decode_object, describe_files, render_yaml
from tallymark.web.access import require_key
from tallymark.web.answers import decode_body, render_json
from tallymark.web.foretelling import foretell_all
from tallymark.web.parameters import KEY
from tallymark.web.services import Services

_ORIGIN: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


class PlanOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Files, the origin that they are all of, and whether to apply them. With a problem nothing is applied."""

    files: Annotated[list[File], msgspec.Meta(max_length=MAX_FILES)]
    origin: str = "files"
    apply: bool = False


class PlanAnswer(msgspec.Struct):
    """What would change, or has changed where `applied`, and what is wrong with the files.

    `notes` tell of new and changed alerts that would have fired too often last week.
    """

    plan: Plan
    applied: bool
    notes: list[str] = []


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""

    @post(
        "/v1/plan",
        status_code=200,
        summary="Plan or apply files",
        tags=["plan"],
        security=[{"read": []}],
        takes=(KEY,),
    )
    async def post_plan(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Compare files with what is there; with `"apply": true` (admin key) change it, all or nothing."""
        holder = require_key(request, services, "read")
        order = _parse(await request.body())
        if order.apply:
            require_key(request, services, "admin")
        return render_json(await services.ask(holder.project, run_plan, services, holder.project, order))

    @get(
        "/v1/plan/export",
        summary="All objects as files",
        tags=["plan"],
        security=[{"read": []}],
        takes=(KEY,),
    )
    async def get_export(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Return every object in the file that it stands in; what was made here stands in `<kind>s/<name>.yaml`."""
        holder = require_key(request, services, "read")
        return render_json(
            {"files": await services.read(holder.project, export_files, services, holder.project)}
        )

    @get(
        "/v1/plan/schema",
        summary="JSON Schema of a file",
        tags=["plan"],
        security=[{"read": []}],
        takes=(KEY,),
    )
    async def get_schema(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Return what may stand in a file, for editors."""
        require_key(request, services, "read")
        return render_json(describe_files())

    return [post_plan, get_export, get_schema]


def run_plan(services: Services, project: str, order: PlanOrder) -> PlanAnswer:
    """Plan, and apply where that was asked; blocking. Raises RequestRefused (conflict) when somebody was quicker."""
    present = services.definitions.list(project)
    prepared = prepare(order.files, order.origin, present)
    if len(present) + len(prepared.writes) > MAX_OBJECTS:
        raise RequestRefused("invalid_definition", f"A project may have {MAX_OBJECTS} objects.", at="files")
    notes = [] if prepared.plan.problems else _foretell(services, project, prepared, present)
    applied = order.apply and not prepared.plan.problems
    if applied and prepared.writes:
        services.definitions.change(project, f"apply of {order.origin}", prepared.writes)
    return PlanAnswer(prepared.plan, applied, notes)


def _foretell(services: Services, project: str, prepared: Prepared, present: list[Definition]) -> list[str]:
    """Replay the alerts that are new or changed, over the metrics as they will be."""
    written = [one for one in prepared.writes if isinstance(one, Write)]
    metrics = collect_objects(present)["metric"]
    metrics |= {one.name: decode_object("metric", one.body) for one in written if one.kind == "metric"}
    alerts = [decode_object("alert", one.body) for one in written if one.kind == "alert"]
    return foretell_all(services, project, alerts, metrics) if alerts else []


def export_files(services: Services, project: str) -> list[File]:
    """Return all objects as YAML files by their names; blocking."""
    present = services.definitions.list(project)
    objects = collect_objects(present)
    plurals = {kind.name: kind.plural for kind in KINDS}
    by_file: dict[str, dict[str, list[Any]]] = {}
    for one in present:
        if one.kind in plurals:
            file = one.file or f"{plurals[one.kind]}/{one.name}.yaml"
            by_file.setdefault(file, {}).setdefault(one.kind, []).append(objects[one.kind][one.name])
    return [File(name, render_yaml(ones)) for name, ones in sorted(by_file.items())]


def _parse(body: bytes) -> PlanOrder:
    order = decode_body(body, PlanOrder)
    if not _ORIGIN.fullmatch(order.origin):
        message = f"{order.origin[:80]!r} is no origin. Use 1 to 64 of a-z, 0-9, '-', '_' and '.'."
        raise RequestRefused("invalid_request", message, at="origin")
    for number, file in enumerate(order.files):
        if not file.name or len(file.name) > 256 or file.name.startswith("/") or ".." in file.name.split("/"):
            message = f"{file.name[:80]!r} is no name of a file below the folder."
            raise RequestRefused("invalid_request", message, at=f"files[{number}].name")
    return order
