"""Every route says which parameters its address may have, and another one is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from tallymark.web.api import ROUTES
from tallymark.web.pages import build_routes as build_page_routes
from tallymark.web.parameters import ANYTHING
from tallymark.web.services import Services

# Whose addresses others write, or lengthen.
OPEN = {"/healthz", "/readyz", "/clickhouse", "/clickhouse/{tail:path}", "/favicon.ico"}
OPEN_ROOMS = ("/embed/", "/static/", "/alert/answer/")


@pytest.fixture(scope="module")
def handlers():
    """Build all routes over services that nobody calls."""
    nothing = cast("Any", type("Nothing", (), {"engine": None, "__getattr__": lambda *_: None})())
    services = Services(nothing, *[None] * 5, Path("ledger"), None, "", "", nothing, nothing)  # type: ignore[arg-type]
    try:
        yield [one for build in (*ROUTES, build_page_routes) for one in build(services)]
    finally:
        services.close_shares()


def test_every_route_declares_its_parameters(handlers):
    """None is forgotten, and only few take anything."""
    assert len(handlers) > 60
    for handler in handlers:
        takes = handler.opt.get("takes")
        assert takes is not None, handler.paths
        is_open = handler.paths <= OPEN or all(path.startswith(OPEN_ROOMS) for path in handler.paths)
        is_open = is_open and "GET" in handler.http_methods
        assert (takes == ANYTHING) == is_open, handler.paths


@pytest.mark.store
def test_an_unknown_parameter_is_refused_with_the_near_name(server):
    """The API answers 400 with the parameter, where it stands, what is near and what is allowed."""
    answer = server.get("/v1/ledger?intervall=hour")
    assert answer.status == 400
    assert (answer.json["code"], answer.json["at"]) == ("invalid_request", "intervall")
    assert "'intervall'" in answer.json["message"]
    assert "Did you mean interval?" in answer.json["message"]
    assert server.get("/v1/ledger?interval=hour").status == 200
    assert server.get("/v1/names?lmit=3").status == 400
    assert server.request("POST", "/v1/query?explain=no", "{}", key=server.read_key).status == 400
    assert server.get("/v1/alerting?state=bad").status == 400
    assert server.request("GET", f"/v1/ledger?key={server.read_key}").status == 200
    assert server.request("GET", "/readyz?probe=7").status == 200
