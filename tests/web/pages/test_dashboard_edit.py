"""Arranging panels: by steps from the keyboard, to a place and a size from the mouse, never over somebody else's version."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.errors import RequestRefused
from tallymark.plan.kinds.dashboard import Panel
from tallymark.web.pages.dashboard_edit import arrange_panels

PANELS = tuple(Panel(name=name, kind="number", metrics=("m",), width=3, height=2) for name in "abcd")


def _names(panels):
    return "".join(panel.name for panel in panels)


@pytest.mark.parametrize(
    ("name", "action", "fields", "order"),
    [
        ("a", "later", {}, "bacd"), ("a", "earlier", {}, "abcd"), ("d", "later", {}, "abcd"), ("c", "earlier", {}, "acbd"),
        ("a", "place", {"to": "1"}, "abcd"), ("a", "place", {"to": "3"}, "bcad"), ("a", "place", {"to": "4"}, "bcda"),
        ("d", "place", {"to": "1"}, "dabc"), ("c", "place", {"to": "2"}, "acbd"), ("", "save", {"gone": "b"}, "acd"),
    ],
)  # fmt: skip
def test_panels_move(name, action, fields, order):
    """By one place, or to the place that is said, counted from 1."""
    assert _names(arrange_panels(PANELS, name, action, fields)) == order


@pytest.mark.parametrize(
    ("action", "fields", "size"),
    [
        ("wider", {}, (4, 2)), ("narrower", {}, (2, 2)), ("taller", {}, (3, 3)), ("lower", {}, (3, 1)),
        ("size", {"width": "12", "height": "10"}, (12, 10)), ("size", {"width": "2", "height": "1"}, (2, 1)),
    ],
)  # fmt: skip
def test_panels_get_another_size(action, fields, size):
    """The one panel alone, which stays in its place."""
    panels = arrange_panels(PANELS, "b", action, fields)
    assert _names(panels) == "abcd"
    assert (panels[1].width, panels[1].height) == size
    assert panels[0] == PANELS[0]


@pytest.mark.parametrize(
    ("action", "at_the_end"),
    [("wider", (12, 10)), ("taller", (12, 10)), ("narrower", (2, 1)), ("lower", (2, 1))],
)
def test_sizes_end_where_a_panel_ends(action, at_the_end):
    """A step over the largest or smallest size changes nothing."""
    width, height = at_the_end
    one = Panel(name="a", kind="number", metrics=("m",), width=width, height=height)
    assert arrange_panels((one,), "a", action, {}) == (one,)


@pytest.mark.parametrize(
    ("name", "action", "fields", "code", "at", "says"),
    [
        ("z", "later", {}, "not_found", "panel", "'z'"),
        ("a", "explode", {}, "invalid_request", "action", "place, wider"),
        ("a", "", {}, "invalid_request", "action", "none of"),
        ("a", "place", {}, "invalid_request", "to", "from 1 to 4"),
        ("a", "place", {"to": "0"}, "invalid_request", "to", "from 1 to 4"),
        ("a", "place", {"to": "5"}, "invalid_request", "to", "from 1 to 4"),
        ("a", "place", {"to": "٣"}, "invalid_request", "to", "no number"),
        ("a", "place", {"to": "9" * 5000}, "invalid_request", "to", "no number"),
        ("a", "size", {"width": "1", "height": "2"}, "invalid_request", "width", "from 2 to 12"),
        ("a", "size", {"width": "13", "height": "2"}, "invalid_request", "width", "from 2 to 12"),
        ("a", "size", {"width": "6", "height": "0"}, "invalid_request", "height", "from 1 to 10"),
        ("a", "size", {"width": "6", "height": "11"}, "invalid_request", "height", "from 1 to 10"),
        ("a", "size", {"width": "6"}, "invalid_request", "height", "no number"),
        ("a", "size", {"width": "-3", "height": "1.5"}, "invalid_request", "width", "no number"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(name, action, fields, code, at, says):
    """The refusal names the field and what is allowed."""
    with pytest.raises(RequestRefused) as refusal:
        arrange_panels(PANELS, name, action, fields)
    assert (refusal.value.code, refusal.value.at) == (code, at)
    assert says in refusal.value.message


@given(st.sampled_from("abcd"), st.integers(1, 4))
def test_a_panel_stands_where_it_was_put_and_the_others_keep_their_order(name, to):
    """Whatever is moved wherever."""
    panels = arrange_panels(PANELS, name, "place", {"to": str(to)})
    assert panels[to - 1].name == name
    assert _names(panels).replace(name, "") == "abcd".replace(name, "")


@pytest.fixture(scope="module")
def board(server):
    """Make a dashboard of three panels; give its path in the API."""
    made = server.request("PUT", "/v1/metrics/m", '{"kind":"count","event_name":"e"}', key=server.admin_key)
    assert made.status == 200, made.body
    return "/v1/dashboards/arranged"


@pytest.fixture
def fresh(server, board):
    """Put the dashboard back to its beginning; give the version that it has."""
    panels = [{"name": name, "kind": "number", "metrics": ["m"], "width": 3, "height": 2} for name in "abc"]
    found = server.request("GET", board, key=server.admin_key)
    seen = found.json["version"] if found.status == 200 else ""
    body = json.dumps({"last": "7d", "refresh": 30, "panels": panels})
    made = server.request("PUT", f"{board}?version={seen}", body, key=server.admin_key)
    assert made.status == 200, made.body
    return made.json["version"]


def _arrange(admin, version, panel, action, **fields):
    sent = {"csrf": admin.token(), "name": "arranged", "version": version, "panel": panel, "action": action, **fields}  # fmt: skip
    return admin.request("POST", "/dashboard/arrange", sent)


def _focused(admin, location):
    """Return what has the focus on a page: `panel:action`, or `panel` for a panel itself."""
    page = admin.request("GET", location).body.decode()
    found = [tag for tag in re.findall(r"<(?:a|button|section)[^>]*>", page) if " autofocus" in tag]
    if not found:
        return ""
    (tag,) = found
    if 'id="panel-' in tag:
        return re.search('id="panel-([a-z]+)"', tag)[1]
    return "undo" if 'class="undo"' in tag else re.search('value="([a-z]+)"', tag)[1]


@pytest.mark.store
@pytest.mark.parametrize(
    ("panel", "action", "fields", "focus"),
    [
        ("b", "wider", {}, "wider"), ("b", "earlier", {}, "earlier"), ("b", "place", {"to": "1"}, "b"),
        ("b", "size", {"width": "5", "height": "3"}, "b"), ("b", "remove", {}, "undo"), ("c", "wider", {"gone": "b"}, "wider"),
    ],
)  # fmt: skip
def test_the_focus_stays_where_it_was(admin, fresh, panel, action, fields, focus):
    """The page that follows has the pressed button focused; of a panel that was marked to go, the link that undoes it."""
    answer = _arrange(admin, fresh, panel, action, **fields)
    assert answer.status == 303
    assert _focused(admin, answer.headers["location"]) == focus


@pytest.mark.store
def test_a_removed_panel_stays_until_it_is_saved(admin, server, fresh, board):
    """The cross marks a panel: the page shows it with a link that undoes it, and the dashboard is as it was until it is saved."""

    def names():
        return [
            one["name"] for one in server.request("GET", board, key=server.admin_key).json["object"]["panels"]
        ]

    marked = _arrange(admin, fresh, "b", "remove").headers["location"]
    marked = _arrange(admin, fresh, "a", "remove", gone="b").headers["location"]
    page = admin.request("GET", marked).body.decode()
    assert names() == ["a", "b", "c"]
    assert "2 panels are marked." in page
    assert page.count('class="undo"') == 2
    # One is kept after all; another change meanwhile leaves the mark on the other.
    kept = re.search(r'id="panel-a".*?class="undo" href="([^"]+)"', page, re.DOTALL)[1].replace("&amp;", "&")
    page = admin.request("GET", kept).body.decode()
    assert "1 panel is marked." in page
    wider = _arrange(admin, fresh, "c", "wider", gone="b")
    page = admin.request("GET", wider.headers["location"]).body.decode()
    assert "1 panel is marked." in page
    assert page.count('class="undo"') == 1
    assert _arrange(admin, fresh + 1, "", "save", gone="b").status == 303
    assert names() == ["a", "c"]


@pytest.mark.store
def test_the_last_panel_leaves_an_empty_dashboard(admin, fresh):
    """Nothing has the focus, and the page says how to go on."""
    answer = _arrange(admin, fresh, "", "save", gone="a b c")
    page = admin.request("GET", answer.headers["location"])
    assert "no panel yet" in page.body.decode()
    assert _focused(admin, answer.headers["location"]) == ""


@pytest.mark.store
def test_only_who_arranges_gets_what_arranging_needs(admin, fresh):
    """The script and its handles are there in edit mode, where panels do not change under the hand; no style is inline."""
    editing = admin.request(
        "GET", "/dashboard?name=arranged&edit=1&pressed=b:%22%3E%3Cscript%3E"
    ).body.decode()
    looking = admin.request("GET", "/dashboard?name=arranged").body.decode()
    assert "/arrange.js" in editing
    assert editing.count('class="corner') == 3
    assert 'data-seconds="0"' in editing
    assert " style=" not in editing
    assert " autofocus" not in editing
    assert "pressed" not in editing
    assert "/arrange.js" not in looking
    assert "corner" not in looking
    assert 'data-seconds="30"' in looking


@pytest.mark.store
def test_what_was_dragged_over_another_version_is_not_saved(admin, server, fresh, board):
    """The second of two is told so, on a page that leads back, and the first one's order stands."""
    assert _arrange(admin, fresh, "a", "place", to="3").status == 303
    answer = _arrange(admin, fresh, "c", "size", width="12", height="4")
    page = answer.body.decode()
    assert answer.status == 409
    assert "somebody else changed it" in page
    assert "Look through the dashboards" in page
    (back,) = re.findall(r'href="([^"]+)">Back to the dashboard', page)
    there = admin.request("GET", back.replace("&amp;", "&"))
    assert (there.status, there.body.count(b'name="action"') > 3) == (200, True)
    assert _arrange(admin, fresh + 1, "c", "place", to="nowhere").status == 400
    found = server.request("GET", board, key=server.admin_key).json["object"]["panels"]
    assert [(one["name"], one["width"]) for one in found] == [("b", 3), ("c", 3), ("a", 3)]
