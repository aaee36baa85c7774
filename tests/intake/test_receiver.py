"""Which receiver a path belongs to."""

from __future__ import annotations

import pytest

from tallymark.intake.receiver import Route, Router
from tallymark.intake.receivers import RECEIVERS
from tallymark.intake.receivers.events import EventsReceiver


class Envelopes(EventsReceiver):
    source = "envelopes"
    routes = (Route("/api/{project}/envelope"), Route("/api/{project}/{what}.json"), Route("/plain"))


@pytest.mark.parametrize(
    ("path", "route", "parameters"),
    [
        ("/plain", "/plain", {}),
        ("/plain/", "/plain", {}),
        ("/api/17/envelope", "/api/{project}/envelope", {"project": "17"}),
        ("/api/17/envelope/", "/api/{project}/envelope", {"project": "17"}),
        ("/api/a/b.json", "/api/{project}/{what}.json", {"project": "a", "what": "b"}),
    ],
)
def test_paths_and_their_named_parts(path, route, parameters):
    """A route matches with and without a final slash; a named part is one part of the path."""
    match = Router([Envelopes()]).find(path)
    assert (match.route.path, match.parameters) == (route, parameters)


@pytest.mark.parametrize(
    "path", ["", "/", "/plainer", "/api/17", "/api//envelope", "/api/1/2/envelope", "/api/1/bxjson"]
)
def test_other_paths_are_nobodys(path):
    """What matches no route whole is left to the pages."""
    assert Router([Envelopes()]).find(path) is None


def test_no_two_receivers_want_one_path():
    """Two receivers with one path are a mistake that shows at the start."""
    with pytest.raises(ValueError, match="two receivers want /plain"):
        Router([Envelopes(), Envelopes()])
    assert Router(RECEIVERS)
