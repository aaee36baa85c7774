"""Metrics and dashboards changed as YAML in the pages: nothing typed is lost, nothing of others is overwritten."""

from __future__ import annotations

import html
import itertools
import json
import re

import pytest

pytestmark = pytest.mark.store

EVIL = "</textarea><script>alert(1)</script>\u202e'\"&amp;"
COUNT = "metrics:\n  - name: {name}\n    kind: count\n    event_name: {event}\n"


def _put(server, path, body):
    answer = server.request("PUT", f"/v1/{path}", json.dumps(body), key=server.admin_key)
    assert answer.status == 200, answer.body


_NUMBERS = itertools.count(1)


@pytest.fixture
def metric(server):
    """Make a metric of its own for a test; give its name."""
    name = f"m_{next(_NUMBERS)}"
    _put(server, f"metrics/{name}", {"kind": "count", "event_name": "sold", "title": EVIL})
    return name


@pytest.fixture(scope="module")
def owned(server):
    """Apply a file with a metric and a dashboard."""
    text = "metrics:\n  - {name: from_file, kind: count, event_name: sold}\ndashboards:\n  - {name: board_of_file, last: 7d}\n"
    order = {
        "origin": "shop",
        "apply": True,
        "files": [{"name": "metrics/<b>shop</b>.yaml", "text": text}],
    }
    answer = server.request("POST", "/v1/plan", json.dumps(order), key=server.admin_key)
    assert answer.status == 200, answer.body


def _text(answer):
    """Return what stands in the page's text area, as a browser reads it."""
    found = re.search(r"<textarea[^>]*>\n(.*?)</textarea>", answer.body.decode(), re.DOTALL)
    assert found
    return html.unescape(found[1])


def _open(admin, name, kind="metric"):
    answer = admin.request("GET", f"/definition?kind={kind}&name={name}")
    assert answer.status == 200, answer.body
    version = re.search(rb'name="version" value="(\d*)"', answer.body)
    return _text(answer), version[1].decode()


def _save(admin, text, name="", version="", kind="metric", **more):
    fields = {"csrf": admin.token(), "kind": kind, "name": name, "version": version, "text": text, **more}
    return admin.request("POST", "/definition", fields)


def _object(server, kind, name):
    return server.request("GET", f"/v1/{kind}s/{name}", key=server.admin_key).json


def test_what_is_shown_is_saved_and_what_is_changed_is_changed(admin, server, metric):
    """The text is the whole definition: sent as browsers send it it changes nothing, and one word changes one field."""
    text, version = _open(admin, metric)
    assert _save(admin, text.replace("\n", "\r\n"), metric, version).status == 303
    assert _object(server, "metric", metric)["object"]["title"] == EVIL
    text, version = _open(admin, metric)
    assert version == "2"
    answer = _save(admin, text.replace("event_name: sold", "event_name: bought"), metric, version)
    assert answer.headers["location"] == f"/metric?project=default&name={metric}"
    found = _object(server, "metric", metric)
    assert found["object"] == {"kind": "count", "name": metric, "title": EVIL, "event_name": "bought"}
    assert (found["version"], found["changed_by"]) == (3, "admin")


def test_nothing_that_somebody_wrote_runs_in_the_editor(admin, metric):
    """Markup stays text in the area, in the excerpt and in messages; characters that turn others are written out."""
    page = admin.request("GET", f"/definition?kind=metric&name={metric}").body.decode()
    assert "<script>alert" not in page
    assert page.count("</textarea>") == 1
    assert "\u202e" not in page
    typed = COUNT.format(name=metric, event="sold") + f"    {json.dumps(EVIL)}: 1\n# {EVIL}\n"
    answer = _save(admin, typed, metric, "1", of=EVIL)
    page = answer.body.decode()
    assert answer.status == 400
    assert "<script>alert" not in page
    assert page.count("</textarea>") == 1
    assert _text(answer) == typed
    outside = re.sub("(?s)<textarea.*</textarea>", "", page)
    assert "\u202e" not in outside


@pytest.mark.parametrize("path", ["?kind=metric", "?kind=metric&of=funnel", "?kind=dashboard"])
def test_a_new_one_begins_with_an_example(admin, server, metric, path):
    """The example of the chosen kind can be saved under another name, and its fields are told below."""
    answer = admin.request("GET", f"/definition{path}")
    page, text = answer.body.decode(), _text(answer)
    assert answer.status == 200
    assert "Fields" in page
    if "funnel" in path:
        assert "kind: funnel" in text
        assert re.search(r'aria-current="true">funnel<', page)
    kind = "dashboard" if "dashboard" in path else "metric"
    name = f"begun_{len(path)}"
    answer = _save(admin, text.replace(f"my_{kind}", name), kind=kind)
    assert answer.headers["location"] == f"/{kind}?project=default&name={name}"
    assert _object(server, kind, name)["version"] == 1


@pytest.mark.parametrize(
    ("change", "line", "says"),
    [
        (("event_name", "evnt_name"), 4, "Fields: name, title"),
        (("kind: count", "kind: cuont"), 3, "Kinds: count, unique"),
        (("    kind", "   kind"), 3, "This is no YAML"),
        (("name: m_", "name: other_"), 2, "make a new metric, then remove this one"),
        (("metrics:", "dashboards:"), 3, "unknown field"),
    ],
)
def test_a_mistake_is_shown_at_its_line_and_the_text_is_kept(admin, server, metric, change, line, says):
    """The page comes back with the text as typed, the line marked, and nothing saved."""
    typed = COUNT.format(name=metric, event="sold").replace(*change, 1)
    answer = _save(admin, typed, metric, "1")
    page = html.unescape(answer.body.decode())
    assert answer.status == 400
    assert f"Line {line}, column" in page
    assert says in page
    marked = re.search("<mark>(.*?)</mark>", page)[1]
    assert marked == f"{line:4d}  {typed.splitlines()[line - 1]}"
    assert _text(answer) == typed
    assert 'aria-invalid="true"' in page
    assert _object(server, "metric", metric)["version"] == 1


def test_who_comes_second_overwrites_nothing_and_sees_both(admin, server, metric):
    """The other text is shown with who wrote it; saving again, with both in sight, takes the place of that version."""
    text, version = _open(admin, metric)
    _put(server, f"metrics/{metric}?version=1", {"kind": "count", "event_name": "theirs", "title": EVIL})
    mine = text.replace("event_name: sold", "event_name: mine")
    answer = _save(admin, mine, metric, version)
    page = answer.body.decode()
    assert answer.status == 409
    assert _text(answer) == mine
    assert "an admin key" in page
    assert "<mark>    event_name: theirs</mark>" in page
    assert "<script>alert" not in page
    assert _object(server, "metric", metric)["object"]["event_name"] == "theirs"
    # A mistake made meanwhile changes nothing about it.
    assert _save(admin, mine + "    oops: 1\n", metric, version).status == 400
    assert "Save over version 2" in page
    assert _save(admin, mine, metric, "2").status == 303
    assert _object(server, "metric", metric)["object"]["event_name"] == "mine"


def test_what_was_removed_meanwhile_is_told_and_can_be_made_again(admin, server, metric):
    """Saving over nothing is refused once, and then makes it anew."""
    text, version = _open(admin, metric)
    assert server.request("DELETE", f"/v1/metrics/{metric}", key=server.admin_key).status == 200
    answer = _save(admin, text, metric, version)
    assert answer.status == 409
    assert "Somebody removed this metric" in answer.body.decode()
    assert re.search(rb'name="version" value=""', answer.body)
    assert _text(answer) == text
    assert _save(admin, text, metric, "").status == 303


def test_a_new_one_never_takes_the_place_of_another(admin, server, metric):
    """However often it is sent: the name is taken, and the one that has it is shown."""
    typed = COUNT.format(name=metric, event="mine")
    for _ in range(2):
        answer = _save(admin, typed)
        page = answer.body.decode()
        assert answer.status == 409
        assert "of this name already" in page
        assert re.search('name="version" value=""', page)
        assert "Save over" not in page
    assert _object(server, "metric", metric)["object"]["event_name"] == "sold"


def test_what_stands_in_a_file_is_shown_and_stays(admin, server, owned):
    """The page says which file, has no button, and a form that is sent all the same is refused with the file's name."""
    for kind, name in (("metric", "from_file"), ("dashboard", "board_of_file")):
        page = admin.request("GET", f"/definition?kind={kind}&name={name}").body.decode()
        assert "metrics/&lt;b&gt;shop&lt;/b&gt;.yaml" in page
        assert " readonly" in page
        assert "<button" not in re.search("(?s)<form[^>]*editor.*?</form>", page)[0]
        shown = admin.request("GET", f"/{kind}?name={name}").body.decode()
        assert not re.search(rf"/definition\?[^\"]*kind={kind}", shown)
        assert "/metric/remove" not in shown
    typed = COUNT.format(name="from_file", event="mine")
    for fields in ({"name": "from_file", "version": "1"}, {}):
        answer = _save(admin, typed, **fields)
        assert answer.status == 409
        assert "metrics/&lt;b&gt;shop&lt;/b&gt;.yaml" in answer.body.decode()
        assert _text(answer) == typed
    assert _object(server, "metric", "from_file")["object"]["event_name"] == "sold"
    answer = admin.request("POST", "/metric/remove", {"csrf": admin.token(), "name": "from_file"})
    assert (answer.status, "tallymark apply" in answer.body.decode()) == (409, True)


def test_a_metric_is_removed_from_its_page_when_nothing_uses_it(admin, server, metric):
    """While a dashboard uses it there is no button and the form is refused with the user's name."""
    _put(server, f"dashboards/{metric}", {"last": "7d", "panels": [{"name": "p", "kind": "line", "metrics": [metric]}]})  # fmt: skip
    fields = {"csrf": admin.token(), "name": metric, "version": "1"}
    assert "/metric/remove" not in admin.request("GET", f"/metric?name={metric}").body.decode()
    answer = admin.request("POST", "/metric/remove", fields)
    assert answer.status == 409
    assert f"is used by dashboard {metric}" in answer.body.decode()
    assert server.request("DELETE", f"/v1/dashboards/{metric}", key=server.admin_key).status == 200
    assert "/metric/remove" in admin.request("GET", f"/metric?name={metric}").body.decode()
    # Over the version that was seen only.
    assert admin.request("POST", "/metric/remove", fields | {"version": "7"}).status == 409
    answer = admin.request("POST", "/metric/remove", fields)
    assert (answer.status, answer.headers["location"]) == (303, "/catalogue?project=default")
    assert admin.request("POST", "/metric/remove", fields).status == 404


def test_a_change_that_would_break_a_user_is_refused_with_its_name(admin, server, metric):
    """A panel that stacks counts cannot stack means: the metric stays a count until the panel is another one."""
    panel = {"name": "p", "kind": "stacked", "metrics": [metric], "breakdown": ["agent_os"]}
    _put(server, f"dashboards/{metric}", {"last": "7d", "panels": [panel]})
    text, version = _open(admin, metric)
    mean = text.replace("kind: count", "kind: average")
    answer = _save(admin, mean, metric, version)
    page = html.unescape(answer.body.decode())
    assert answer.status == 409
    assert f"The dashboard '{metric}' uses it and would not hold any more: Only metrics that add up" in page
    assert _text(answer) == mean
    assert "Theirs" not in page
    assert 'name="version" value="1"' in page
    _put(server, f"dashboards/{metric}?version=1", {"last": "7d", "panels": [panel | {"kind": "line"}]})
    assert _save(admin, mean, metric, version).status == 303


def test_what_was_broken_before_does_not_stand_in_the_way(admin, server, metric):
    """A file has turned another of the panel's metrics into a mean: this one can be changed all the same."""
    other = f"other_{metric}"
    _put(server, f"metrics/{other}", {"kind": "count", "event_name": "sold"})
    panel = {"name": "p", "kind": "stacked", "metrics": [metric, other]}
    _put(server, f"dashboards/{metric}", {"last": "7d", "panels": [panel]})
    text = f"metrics:\n  - {{name: {other}, kind: average, event_name: sold}}\n"
    order = {"origin": other, "apply": True, "files": [{"name": "other.yaml", "text": text}]}
    applied = server.request("POST", "/v1/plan", json.dumps(order), key=server.admin_key)
    assert applied.status == 200, applied.body
    shown, version = _open(admin, metric)
    assert _save(admin, shown.replace("kind: count", "kind: sum"), metric, version).status == 303


def test_links_lead_to_the_editor(admin, server, metric):
    """From the metric, its dashboard and both lists."""
    _put(server, f"dashboards/{metric}", {"last": "7d"})
    for path, kind in ((f"/metric?name={metric}", "metric"), (f"/dashboard?name={metric}", "dashboard")):
        page = html.unescape(admin.request("GET", path).body.decode())
        assert f"/definition?project=default&kind={kind}&name={metric}" in page
    assert "/definition?project=default&amp;kind=metric" in admin.request("GET", "/catalogue").body.decode()
    assert "kind=dashboard" in admin.request("GET", "/dashboards").body.decode()


@pytest.mark.parametrize(
    ("query", "says"),
    [("", "Allowed: metric, dashboard"), ("kind=nothing", "Allowed: metric, dashboard"), ("kind=metric&name=nothing", "There is no metric"),
     ("kind=dashboard&name=%3Cb%3E", "There is no dashboard")],
)  # fmt: skip
def test_what_there_is_not_is_told(admin, query, says):
    """An unknown kind or name is a page that says so, of both methods."""
    answer = admin.request("GET", f"/definition?{query}")
    assert (answer.status, says in answer.body.decode()) == (404, True)
    if "name" not in query:
        fields = dict(pair.split("=") for pair in query.split("&") if pair)
        assert admin.request("POST", "/definition", {"csrf": admin.token(), **fields}).status == 404


def test_forms_of_others_and_forms_that_make_no_sense_are_refused(admin, server, metric):
    """Without the token, from another site, with a version that is none: nothing is written."""
    fields = {"kind": "metric", "name": metric, "text": COUNT.format(name=metric, event="x"), "version": "1"}
    for path in ("/definition", "/metric/remove"):
        assert admin.request("POST", path, fields).status == 403
        sent = {**fields, "csrf": admin.token()}
        assert admin.request("POST", path, sent, Sec_Fetch_Site="cross-site").status == 403
        assert admin.request("POST", path, sent, Origin="https://evil.invalid").status == 403
        assert admin.request("POST", path, {**sent, "version": "-1"}).status == 400
    assert _object(server, "metric", metric)["version"] == 1


def test_a_dashboard_of_forty_rich_panels_fits_and_too_much_is_told(admin, server, metric):
    """Forty panels with long names in another script are saved; what is longer still is answered with 413."""
    filters = [{"field": f"attributes.{'x' * 40}", "op": "eq", "value": "ж" * 40}] * 3
    panels = [
        {"name": f"p{n}", "kind": "line", "metrics": [metric], "title": "ж" * 150, "breakdown": ["agent_os"], "filters": filters, "interval": "day"}
        for n in range(40)
    ]  # fmt: skip
    _put(server, "dashboards/large", {"last": "7d", "panels": panels, "description": "ж" * 4000})
    text, version = _open(admin, "large", "dashboard")
    assert len(text) > 16 * 1024
    answer = _save(admin, text.replace("ж", "я").replace("\n", "\r\n"), "large", version, "dashboard")
    assert answer.status == 303
    assert _object(server, "dashboard", "large")["object"]["panels"][39]["title"] == "я" * 150
    answer = _save(admin, text + "#" * 300_000, "large", "2", "dashboard")
    assert answer.status == 413
    assert "262,144 bytes" in answer.body.decode()
