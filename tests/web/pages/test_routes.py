"""How pages are mounted: an error is a page with a way on, and what is long enough is compressed."""

from __future__ import annotations

import gzip
import re

import pytest

from tallymark.errors import RequestRefused, TallymarkError
from tallymark.store.errors import StoreUnavailable
from tallymark.web.pages.packing import LEAST_BYTES, accepts_gzip, may_pack
from tallymark.web.pages.routes import find_status
from tallymark.web.pages.sessions import mask_token, unmask_token

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
ERRORS = [
    ("/event", 404, "The address names no event", "/events"),
    ("/event?id=" + "x" * 200, 404, "1 to 128 bytes", "/events"),
    ("/events?project=nope", 404, "There is no project &#39;nope&#39;", "/events"),
    ("/explore?q={bad", 400, "The question is not JSON", "/explore"),
    ("/explore?project=default&q=%7B%22kind%22%3A1%7D", 400, "unknown kind", "/explore?project=default"),
    ("/explore.csv?kind=trend&s0.event=a&from=never&to=2026-01-01", 400, "is not a time", "/explore"),
    ("/quarantine?before=abc", 400, "is no number from 1", "/quarantine"),
    ("/settings?project=%E2%80%AEnope", 404, "There is no project", "/settings"),
    ("/static/any/nothing.css", 404, "There is no such file", "/"),
    ("/settings/keys", 405, "Method Not Allowed", "/settings"),
    ("/events?" + "&".join(["name=1"] * 1001), 400, "at most 1000 fields", "/events"),
    ("/events?project=%ff%00", 404, "There is no project", "/events"),
]


@pytest.mark.store
@pytest.mark.parametrize(("path", "status", "said", "way"), ERRORS)
def test_an_error_is_a_page_with_what_happened_and_a_way_on(admin, path, status, said, way):
    """Whoever mistyped an address reads why, in a page of ours, and gets on from there."""
    answer = admin.request("GET", path, **BROWSER)
    page = answer.body.decode()
    assert (answer.status, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert said in page
    ways = re.findall(r'<li><a href="([^"]+)"', page)
    assert ways[0] == way
    assert ways[-1].startswith("/")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert admin.request("GET", ways[0], **BROWSER).status in (200, 303)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StoreUnavailable("The store cannot be reached."), 503),
        (RequestRefused("not_found", "There is none."), 404),
        (TallymarkError("invalid_question", "That is none."), 400),
    ],
)
def test_a_store_that_is_away_is_not_the_askers_mistake(error, status):
    """What may go better next time is 503, within a page as on one of its own; what was asked wrongly is 400."""
    assert find_status(error) == status


@pytest.mark.store
def test_a_search_that_failed_found_nothing_out(admin):
    """Where the search could not be made the page says why, and not that no event meets the conditions."""
    answer = admin.request("GET", "/events?project=default&from=never", **BROWSER)
    page = answer.body.decode()
    assert answer.status == 400
    assert "is not a time" in page
    assert "No event meets these conditions" not in page


@pytest.mark.store
def test_a_refused_form_is_a_page_too(admin):
    """A form that is too old, too large or wrong is answered in words, not in JSON."""
    token = admin.token()
    for path, fields, status in (
        ("/settings/keys", {}, 403),
        ("/sign-out", {"csrf": "x" * 20_000}, 413),
        ("/settings/keys", {"csrf": token, "scope": "all"}, 400),
        ("/settings/keys/revoke", {"csrf": token, "id": "x"}, 400),
        ("/quarantine/replay", {"csrf": token}, 400),
    ):
        answer = admin.request("POST", path, fields, **BROWSER)
        assert (answer.status, answer.headers["content-type"]) == (status, "text/html; charset=utf-8"), path
        assert 'class="ways"' in answer.body.decode()


@pytest.mark.store
def test_the_api_answers_in_json_whoever_asks(server):
    """Routes of the API keep their codes, also for a browser."""
    answer = server.request("GET", "/v1/names", headers=BROWSER)
    assert (answer.status, answer.json["code"]) == (401, "unauthorized")


@pytest.mark.store
@pytest.mark.parametrize("path", ["/settings", "/quarantine", "/explore", "/sign-in", "/live"])
def test_pages_are_compressed_where_the_browser_takes_it(make_visitor, server, path):
    """The compressed page is the page, and a good deal smaller; without the header it comes plain."""
    visitor = make_visitor(server)
    if path != "/sign-in":
        visitor.sign_in()
        path = visitor.request("GET", path).headers.get("location", path)
    plain = visitor.request("GET", path)
    packed = visitor.request("GET", path, Accept_Encoding="br, gzip")
    assert "content-encoding" not in plain.headers
    assert len(plain.body) >= LEAST_BYTES
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["content-length"] == str(len(packed.body))
    assert "Accept-Encoding" in packed.headers["vary"]
    assert len(packed.body) < 0.6 * len(plain.body)
    title = re.compile(rb"<(title|h2)[^>]*>[^<]*")
    assert title.findall(gzip.decompress(packed.body)) == title.findall(plain.body)


@pytest.mark.store
def test_a_long_answer_is_compressed_whole(admin, server, build_event):
    """An answer that is compressed beside the loop arrives as it is without compression, whatever it is."""
    attributes = {f"name{n}" + "y" * 40: "x" for n in range(900)}
    assert server.send([build_event("packed-1", attributes=attributes)]).status == 200
    server.wait_loaded()
    for path in (
        "/event?id=packed-1",
        "/explore.csv?kind=trend&from=2026-01-01&to=2026-03-01&interval=hour&s0.event=clicked",
        "/explore/choices?event=clicked",
    ):
        plain = admin.request("GET", path).body
        packed = admin.request("GET", path, Accept_Encoding="gzip")
        assert packed.headers["content-encoding"] == "gzip"
        unpacked = gzip.decompress(packed.body)
        assert len(unpacked) > 32 * 1024
        masked = re.compile(rb'name="csrf" value="[^"]+"')
        assert masked.sub(b"", unpacked) == masked.sub(b"", plain)


@pytest.mark.store
def test_what_another_site_opened_and_what_shows_a_key_is_not_compressed(admin):
    """Nobody elsewhere can have the sizes of compressed guesses measured, and no key is beside somebody's text."""
    for site in ("cross-site", "same-site"):
        answer = admin.request("GET", "/settings", Accept_Encoding="gzip", Sec_Fetch_Site=site)
        assert "content-encoding" not in answer.headers
    answer = admin.request("GET", "/settings", Accept_Encoding="gzip", Sec_Fetch_Site="same-origin")
    assert answer.headers["content-encoding"] == "gzip"
    fields = {"csrf": admin.token(), "scope": "read", "label": "packed"}
    answer = admin.request("POST", "/settings/keys", fields, Accept_Encoding="gzip")
    assert b"tm_read_" in answer.body
    assert "content-encoding" not in answer.headers


@pytest.mark.store
def test_a_form_token_never_stands_twice_in_the_same_way(admin):
    """Every page masks the session's token anew, and all of them are taken."""
    tokens = {admin.token() for _ in range(5)}
    assert len(tokens) == 5
    assert len({unmask_token(token) for token in tokens}) == 1
    for token in tokens:
        assert admin.request("POST", "/settings/privacy", {"csrf": token}).status == 303


def test_what_is_no_masked_token_is_nobodys_token():
    """Broken text gives a token that no session has."""
    masked = mask_token("secret-token")
    assert unmask_token(masked) == b"secret-token"
    for text in ("", "x", "é", masked[:-4], masked + "AAAA", "secret-token", "\0" * 32):
        assert unmask_token(text) != b"secret-token"


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("gzip", True),
        ("br;q=1.0, GZIP;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("br, deflate", False),
        ("", False),
    ],
)
def test_gzip_is_sent_to_those_who_take_it(header, taken):
    """The header is read with its weights."""
    assert accepts_gzip(header) is taken
    assert may_pack({"accept-encoding": header}) is taken
