"""The pages over HTTP, without a browser: who gets in, what a form must carry, what every answer says to the browser."""

from __future__ import annotations

import json
import re

import pytest

PAGES = [
    "/",
    "/live",
    "/events",
    "/event?id=x",
    "/quarantine",
    "/explore",
    "/explore.csv",
    "/explore/choices",
    "/settings",
]
FORMS = [
    "/sign-out",
    "/quarantine/replay",
    "/settings/projects",
    "/settings/keys",
    "/settings/keys/revoke",
    "/settings/privacy",
]


def without_token(answer):
    """Return a page without its form token, which is masked anew in each."""
    return re.sub(r'name="csrf" value="[^"]+"', "", answer.body.decode())


@pytest.mark.store
@pytest.mark.parametrize("path", PAGES)
def test_a_page_asks_to_sign_in_and_leads_back(server, path):
    """Nobody sees a page without a session, and an API key is none."""
    for key in (None, server.admin_key):
        answer = server.request("GET", path, key=key)
        assert answer.status == 303
        assert answer.headers["location"].startswith("/sign-in")
        assert answer.body == b""


@pytest.mark.store
def test_the_api_takes_no_session(admin):
    """A cookie lets nobody into the API: it takes keys alone, so no page elsewhere can use it."""
    assert admin.request("GET", "/v1/ledger").status == 401
    assert admin.request("POST", "/v1/query", {}).status == 401


@pytest.mark.store
def test_every_answer_forbids_what_is_not_ours(admin):
    """Pages, fragments, errors and static files all carry the policy; no page is cached."""
    style = re.search(rb'href="(/static/[^"]+/style.css)"', admin.request("GET", "/").body)
    assert style
    for path in (
        "/",
        "/sign-in",
        "/events",
        "/event?id=nothing",
        "/explore?kind=trend&from=never",
        style[1].decode(),
    ):
        headers = admin.request("GET", path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] in ("no-store", "public, max-age=31536000, immutable")


@pytest.mark.store
def test_no_page_holds_anything_inline(admin):
    """There is no inline script, style or handler: the policy would stop them, and we do not need them."""
    for path in PAGES:
        text = admin.request("GET", path).body.decode()
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text), path
        scripts = re.findall(r"<script[^>]*>", text)
        assert all("src=" in script or 'type="application/json"' in script for script in scripts), path


@pytest.mark.store
@pytest.mark.parametrize("path", FORMS)
def test_a_form_needs_the_sessions_token(admin, path):
    """Without the token, with another one, or from another site a form does nothing."""
    token = admin.token()
    assert admin.request("POST", path, {}).status == 403
    assert admin.request("POST", path, {"csrf": "x" * len(token)}).status == 403
    assert admin.request("POST", path, {"csrf": token}, Sec_Fetch_Site="cross-site").status == 403
    assert admin.request("POST", path, {"csrf": token}, Sec_Fetch_Site="same-site").status == 403
    assert admin.request("POST", path, {"csrf": token}, Origin="https://evil.example").status == 403
    assert admin.request("POST", path, {"csrf": token}, Origin="null").status == 403
    assert admin.request("GET", "/settings").status == 200


@pytest.mark.store
def test_signing_in_needs_a_token_too(make_visitor, server):
    """Another site cannot sign somebody in under an account of its own."""
    visitor = make_visitor(server)
    fields = {"name": "admin", "password": server.password}
    assert visitor.request("POST", "/sign-in", fields).status == 403
    visitor.token("/sign-in")
    assert visitor.request("POST", "/sign-in", {**fields, "csrf": "guessed"}).status == 403
    assert visitor.sign_in(Sec_Fetch_Site="cross-site").status == 403
    assert visitor.sign_in(Sec_Fetch_Site="same-origin").status == 303


@pytest.mark.store
def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(make_visitor, server):
    """Nobody learns which names exist."""
    visitor = make_visitor(server)
    answers = [visitor.sign_in("wrong", name=name) for name in ("admin", "nobody-by-this-name")]
    pages = [without_token(answer).replace("nobody-by-this-name", "admin") for answer in answers]
    assert [answer.status for answer in answers] == [401, 401]
    assert pages[0] == pages[1]


@pytest.mark.store
def test_tries_are_limited_and_the_answer_stays_the_same(make_visitor, server):
    """After ten failures even the right password fails, with the words of a wrong one; another name is not touched."""
    visitor = make_visitor(server)
    answers = [visitor.sign_in("wrong", name="somebody") for _ in range(12)]
    assert {answer.status for answer in answers} == {401}
    assert len({without_token(answer) for answer in answers}) == 1
    assert visitor.sign_in().status == 303


@pytest.mark.store
def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(make_visitor, server, make_server):
    """HttpOnly, SameSite=Lax, the whole path, and Secure as soon as people come over https."""
    set_cookie = make_visitor(server).sign_in().headers["set-cookie"]
    attributes = {part.strip().lower() for part in re.split(r"[;,]", set_cookie)}
    assert {"httponly", "samesite=lax", "path=/"} <= attributes
    assert "secure" not in attributes
    secure = make_server(public_url="https://metrics.example").start()
    set_cookie = make_visitor(secure).sign_in().headers["set-cookie"]
    assert "secure" in set_cookie.lower()


@pytest.mark.store
def test_signing_out_ends_the_session_everywhere(make_visitor, server):
    """A copied cookie is worthless after the sign-out."""
    visitor = make_visitor(server)
    visitor.sign_in()
    copied = dict(visitor.cookies)
    answer = visitor.request("POST", "/sign-out", {"csrf": visitor.token()})
    assert (answer.status, answer.headers["location"]) == (303, "/sign-in")
    thief = make_visitor(server)
    thief.cookies = copied
    assert thief.request("GET", "/settings").status == 303


@pytest.mark.store
def test_a_form_is_bounded(admin):
    """A huge form is turned away before it is read."""
    assert admin.request("POST", "/sign-out", {"csrf": "x" * 20_000}).status == 413


@pytest.mark.store
def test_keys_are_made_shown_once_and_revoked(admin, server):
    """A key made on the page works at once, is not on the page again, and ends when it is revoked there."""
    answer = admin.request(
        "POST", "/settings/keys", {"csrf": admin.token(), "scope": "read", "label": "<b>shop"}
    )
    found = re.search(r"tm_read_[\w-]+", answer.body.decode())
    assert found
    key = found[0]
    assert "<b>shop" not in answer.body.decode()
    assert server.get("/v1/names", key).status == 200
    page = admin.request("GET", "/settings").body.decode()
    assert key not in page
    identity = re.findall(r'name="id" value="(\d+)"', page)[-1]
    assert (
        admin.request("POST", "/settings/keys/revoke", {"csrf": admin.token(), "id": identity}).status == 303
    )
    assert server.get("/v1/names", key).status == 401


@pytest.mark.store
def test_projects_and_privacy_switches(admin, server):
    """A new project can be made, looked at by itself, and have its rules switched off; a bad name is explained."""
    answer = admin.request("POST", "/settings/projects", {"csrf": admin.token(), "name": "Web Shop"})
    assert answer.status == 400
    assert "is no project name" in answer.body.decode()
    answer = admin.request("POST", "/settings/projects", {"csrf": admin.token(), "name": "shop"})
    assert answer.headers["location"] == "/settings?project=shop&saved=1"
    token = admin.token()
    fields = {"csrf": token, "project": "shop", "rule.email": "on"}
    assert admin.request("POST", "/settings/privacy", fields).status == 303
    page = admin.request("GET", "/settings?project=shop").body.decode()
    assert page.count(" checked") == 1
    assert admin.request("GET", "/settings?project=nothing").status == 404


@pytest.mark.store
def test_static_files_are_kept_for_good_and_packed(admin):
    """The charts' runtime is served compressed, under an address that may be cached for a year."""
    page = admin.request("GET", "/").body.decode()
    runtime = re.search(r'src="(/static/[^"]+/vega.js)"', page)
    assert runtime
    answer = admin.request("GET", runtime[1], Accept_Encoding="gzip")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert len(answer.body) < 400_000
    plain = admin.request("GET", runtime[1])
    assert b"vegaEmbed" in plain.body
    assert admin.request("GET", "/static/old/style.css").headers["cache-control"] == "no-cache"
    assert admin.request("GET", "/static/old/..%2Fapp.py").status == 404


@pytest.mark.store
def test_the_csv_is_the_apis(admin, server, build_event):
    """The page's file has the figures that the API gives."""
    server.send([build_event(f"csv-{n}", event_name="exported") for n in range(3)])
    server.wait_loaded()
    link = "kind=trend&from=2026-01-31&to=2026-02-01&interval=day&s0.event=exported"
    answer = admin.request("GET", f"/explore.csv?{link}")
    question = {
        "kind": "trend",
        "from": "2026-01-31",
        "to": "2026-02-01",
        "interval": "day",
        "series": [{"event_name": "exported"}],
    }
    api = server.request(
        "POST", "/v1/query", json.dumps(question), key=server.read_key, headers={"Accept": "text/csv"}
    )
    assert answer.body == api.body
    assert answer.headers["content-disposition"] == 'attachment; filename="default-trend.csv"'


@pytest.mark.store
def test_the_live_part_is_silent_while_nothing_happens(admin):
    """Asking again with the mark of what was seen costs an empty answer, unless a minute has passed meanwhile."""
    for _ in range(3):
        text = admin.request("GET", "/live?span=month").body.decode()
        state = re.search(r'data-state="([^"]+)"', text)
        assert state
        again = admin.request("GET", f"/live?span=month&seen={state[1]}")
        if again.status == 204:
            return
    pytest.fail("the live part answered in full three times")


def test_unknown_address(server):
    """A person gets a page that leads home, a program JSON with a code."""
    page = server.request("GET", "/nowhere", headers={"Accept": "text/html,*/*"})
    answer = server.request("GET", "/nowhere", headers={"Accept": "*/*"})

    assert (page.status, answer.status) == (404, 404)
    assert b'href="/"' in page.body
    assert answer.json["code"] == "not_found"
