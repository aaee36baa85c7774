"""The API's description: what the framework finds in its routes, and the intake, which stands beside them.

`GET /v1/openapi/openapi.json` serves it and docs/api.md is made from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import (
    Components,
    OpenAPI,
    OpenAPIMediaType,
    OpenAPIResponse,
    Operation,
    Parameter,
    PathItem,
    RequestBody,
    Schema,
    SecurityScheme,
)

from tallymark import __version__
from tallymark.event import REPORT_HEADER, SENT_AT_HEADER, Event
from tallymark.intake.answers import EventsAnswer
from tallymark.queries.parse import KIND_NAMES
from tallymark.web.api.keys import KeyOrder
from tallymark.web.api.quarantine import ReplayOrder
from tallymark.web.parameters import ANYTHING, KEY

CONFIG = OpenAPIConfig(
    title="tallymark",
    version=__version__,
    description="Every event is accounted for. A key says whose events and what may be done with them.",
    path="/v1/openapi",
    use_handler_docstrings=True,
    render_plugins=[JsonRenderPlugin(path="/openapi.json")],
    components=Components(
        security_schemes={
            "write": SecurityScheme(type="http", scheme="bearer", description="A write key."),
            "read": SecurityScheme(type="http", scheme="bearer", description="A read key."),
            "admin": SecurityScheme(type="http", scheme="bearer", description="An admin key."),
            "clickhouse": SecurityScheme(type="http", scheme="basic", description="Project and read key."),
        }
    ),
)

_ANSWERS = {
    "200": "All accepted and durable.",
    "202": "Taken in haste (`?hasty=true`): not durable yet.",
    "207": "Some were refused; those are listed, and quarantined where they could be read.",
    "400": "All were refused, or the body could not be read.",
}
_REFUSALS = {
    "401": "No key, or an unknown one.",
    "403": "The key may not send events.",
    "408": "The body came too slowly.",
    "413": "The body is too large.",
    "429": "The project sends more than its limit; see Retry-After.",
    "503": "The disk is full or too slow; see Retry-After.",
}
_PARAMETERS = (
    ("hasty", "query", "Answer 202 before the events are durable."),
    ("key", "query", "The write key, where no header can be set."),
    ("sent_at", "query", f"The sender's clock now, as the header {SENT_AT_HEADER}."),
    (SENT_AT_HEADER, "header", "The sender's clock now (ISO 8601): a wrong clock is corrected by it."),
    (REPORT_HEADER, "header", "What the client dropped so far, as JSON."),
)


def add_intake(document: OpenAPI) -> None:
    """Put the intake's operation into the framework's document."""
    paths = document.paths = document.paths or {}
    item = paths.setdefault("/v1/events", PathItem())
    item.post = Operation(
        tags=["intake"],
        summary="Send events",
        description="One JSON object, an array of objects, or one object per line; plain, gzip, zlib or zstd.",
        operation_id="SendEvents",
        security=[{"write": []}, {"admin": []}],
        parameters=[
            Parameter(name=name, param_in=place, description=text, schema=_schema({"type": "string"}))
            for name, place, text in _PARAMETERS
        ],
        request_body=RequestBody(
            content={"application/json": OpenAPIMediaType(schema=_schema(_event_schema()))}, required=True
        ),
        responses={
            **{status: _answer(text, _struct_schema(EventsAnswer)) for status, text in _ANSWERS.items()},
            **{status: _answer(text, {"type": "object"}) for status, text in _REFUSALS.items()},
        },
    )


# Of ClickHouse's many parameters, those that most people need.
_OF_CLICKHOUSE = ("query", "default_format")
_MEANINGS = {
    "from": "Beginning (ISO 8601).",
    "to": "End, exclusive (ISO 8601).",
    "interval": "minute, hour or day; of metrics also week, month, quarter or year.",
    "timezone": "IANA name; UTC without it.",
    "filters": "Conditions as in a question, a JSON list.",
    "breakdown": "Fields, with commas between.",
    "others": "true: the groups beyond `limit` are one more row.",
    "compare": "previous, week or year.",
    "event_name": "Only events of this name.",
    "limit": "How many: 1 to 500; names, fields, changes, groups of a metric, or values of each field that explains it, 1 to 1000.",
    "containing": "Only those that contain this text, in any case.",
    "alert": "Only this alert's.",
    "before": "Where the last page ended.",
    "code": "Only events with this code.",
    "event_id": "The event's id.",
    "query": "SQL, where it is not the body.",
    "version": "The version that you saw: without it PUT makes a new one only, and DELETE removes any.",
    "default_format": "Any output format of ClickHouse.",
}


def list_parameters(handlers: Iterable[HTTPRouteHandler]) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the parameters that the routes declare, by path and method as they stand in the document, without the key."""
    return {
        (re.sub(r":[a-z]+}", "}", path), method.lower()): tuple(
            one.name for one in handler.opt.get("takes", ()) if one != KEY
        )
        for handler in handlers
        for path in handler.paths
        for method in handler.http_methods
    }


def add_requests(document: OpenAPI, handlers: Iterable[HTTPRouteHandler]) -> None:
    """Put what the other routes take into the framework's document: parameters, bodies, refusals."""
    declared = list_parameters(handlers)
    bodies = {
        "/v1/query": {
            "type": "object",
            "description": f"A question of one of the kinds {_list_kinds()}.",
        },
        "/v1/keys": _struct_schema(KeyOrder),
        "/v1/quarantine/replay": _struct_schema(ReplayOrder),
    }
    for path, item in (document.paths or {}).items():
        for method in ("get", "post", "put", "delete"):
            operation = getattr(item, method)
            if operation is None or (path, method) == ("/v1/events", "post"):
                continue
            operation.parameters = [
                *(operation.parameters or []),
                *(
                    Parameter(
                        name=name,
                        param_in="query",
                        description=_MEANINGS[name],
                        schema=_schema({"type": "string"}),
                    )
                    for name in _describe(declared.get((path, method), ()), path)
                ),
            ]
            if path == "/v1/query":
                operation.description = f"Answer a question of one of the kinds {_list_kinds()}."
            if method == "post" and path in bodies:
                content = {"application/json": OpenAPIMediaType(schema=_schema(bodies[path]))}
                operation.request_body = RequestBody(content=content, required=True)
            if operation.security and operation.security != [{}]:
                for status in ("400", "401", "403", "503"):
                    operation.responses.setdefault(
                        status,
                        _answer(
                            "`code`, `message` and `at` say what is wrong and where.", {"type": "object"}
                        ),
                    )


def _describe(names: tuple[str, ...], path: str) -> tuple[str, ...]:
    if names != (ANYTHING[0].name,):
        return names
    return _OF_CLICKHOUSE if path == "/clickhouse" else ()


def _list_kinds() -> str:
    return ", ".join(f"`{name}`" for name in KIND_NAMES)


def _answer(text: str, schema: dict[str, Any]) -> OpenAPIResponse:
    return OpenAPIResponse(
        description=text, content={"application/json": OpenAPIMediaType(schema=_schema(schema))}
    )


def _schema(found: dict[str, Any]) -> Schema:
    """Turn a JSON Schema into the framework's object; it knows these few words only."""
    return Schema(
        type=found.get("type"),
        format=found.get("format"),
        title=found.get("title"),
        description=found.get("description"),
        required=found.get("required"),
        min_length=found.get("minLength"),
        max_length=found.get("maxLength"),
        minimum=found.get("minimum"),
        items=_schema(found["items"]) if "items" in found else None,
        any_of=[_schema(item) for item in found["anyOf"]] if "anyOf" in found else None,
        properties={name: _schema(item) for name, item in found["properties"].items()}
        if "properties" in found
        else None,
    )


def _struct_schema(struct: type[msgspec.Struct]) -> dict[str, Any]:
    (schema,), components = msgspec.json.schema_components([struct], ref_template="{name}")
    resolved = _resolve(schema, components)
    assert isinstance(resolved, dict)  # noqa: S101 - a schema is an object
    return resolved


def _event_schema() -> dict[str, Any]:
    schema = _struct_schema(Event)
    return {"anyOf": [schema, {"type": "array", "items": schema}]}


def _resolve(schema: Any, components: dict[str, Any]) -> Any:
    """Put components in the place of references to them."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _resolve(components[schema["$ref"]], components)
        return {name: _resolve(item, components) for name, item in schema.items()}
    if isinstance(schema, list):
        return [_resolve(item, components) for item in schema]
    return schema
