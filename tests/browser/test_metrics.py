"""From a question to a panel in somebody else's page, by hand: explore, save, put on a dashboard, embed."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.store]
ASKED = "/explore?kind=ratio&from=2026-01-31&to=2026-02-01&s0.event=paid&s1.event=opened&interval=hour"


@pytest.fixture
def other_site():
    """Serve one page from another origin, whose body the test sets."""
    page = {"body": ""}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = f"<!doctype html><title>shop</title>{page['body']}".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://localhost:{server.server_port}/", page
        server.shutdown()


@pytest.fixture
def sign_in_at(chromium):
    """Give a way to a signed-in browser on a server."""
    made = []

    def sign_in(server):
        context = chromium.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(60_000)
        made.append(context)
        page = context.new_page()
        page.goto(f"{server.url}/sign-in")
        page.get_by_label("Password").fill(server.password)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{server.url}/")
        return context

    yield sign_in
    for context in made:
        context.close()


def test_from_a_question_to_another_site(make_server, sign_in_at, other_site, build_event):
    """A question becomes a metric, the metric a panel, the panel a frame in a page of another origin."""
    address, elsewhere = other_site
    server = make_server(embed_ancestors=address.rstrip("/"), loader_linger_seconds=0.05).start()
    events = [
        build_event(f"walk-{n}", event_name="opened" if n % 2 else "paid", event_time=f"2026-01-31T{n % 24:02}:00:00Z")
        for n in range(48)
    ]  # fmt: skip
    assert server.send(events).status == 200
    server.wait_loaded()
    page = sign_in_at(server).new_page()

    page.goto(server.url + ASKED)
    page.get_by_label("Name of the metric").fill("paid_share")
    page.get_by_label("Title of the metric").fill("Share that pays")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Share that pays")

    page.goto(f"{server.url}/dashboards")
    page.get_by_label("New dashboard").fill("shop")
    page.get_by_role("button", name="Make").click()
    expect(page.get_by_text("This dashboard has no panel yet")).to_be_visible()

    page.goto(f"{server.url}/metric?name=paid_share&from=2026-01-31&to=2026-02-01")
    canvas = page.locator("figure[data-drawn] .canvas")
    canvas.focus()
    # The second hour: pages are opened in odd hours only.
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/events\?.*name=opened"))
    expect(page.locator("table.events tbody tr:not(.nothing)")).to_have_count(2)
    page.go_back()

    page.get_by_label("as", exact=True).select_option("number")
    page.get_by_role("button", name="Add").click()
    panel = page.locator("#panel-paid_share")
    expect(panel).to_be_visible()
    panel.get_by_role("button", name=re.compile("^Wider")).click()
    expect(page.locator("#panel-paid_share.w-4")).to_be_visible()

    page.locator("#panel-paid_share summary", has_text="Export").click()
    page.get_by_role("button", name="Embed elsewhere").click()
    url = page.locator("#embed-url").inner_text()

    elsewhere["body"] = f'<iframe src="{url}" width="640" height="400"></iframe>'
    guest = page.context.browser.new_context().new_page()
    guest.goto(address)
    frame = guest.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="Share that pays")).to_be_visible()
    assert guest.context.cookies() == []
    guest.context.close()


def test_two_tabs_that_arrange_the_same(make_server, sign_in_at, build_event):
    """What was arranged in another tab meanwhile is not overwritten: the second tab is told so."""
    server = make_server().start()
    context = sign_in_at(server)
    put = [("metrics/m", {"kind": "count", "event_name": "e"}), ("dashboards/board", {"last": "30d", "panels": [
        {"name": "one", "kind": "number", "metrics": ["m"]}, {"name": "two", "kind": "number", "metrics": ["m"]}]})]  # fmt: skip
    for path, body in put:
        assert server.request("PUT", f"/v1/{path}", json.dumps(body), key=server.admin_key).status == 200
    first, second = context.new_page(), context.new_page()
    for tab in (first, second):
        tab.goto(f"{server.url}/dashboard?name=board&edit=1")
    first.locator("#panel-one").get_by_role("button", name=re.compile("^Remove")).click()
    first.get_by_role("button", name="Save without it").click()
    expect(first.locator("#panel-one")).to_have_count(0)
    second.locator("#panel-two").get_by_role("button", name=re.compile("^Wider")).click()
    expect(second.get_by_text("somebody else changed it")).to_be_visible()
    second.goto(f"{server.url}/dashboard?name=board")
    expect(second.locator("#panel-one")).to_have_count(0)


def test_cells_and_bars_say_and_lead(make_server, sign_in_at, build_event):
    """By pointer and by arrow keys a heat map's cells and a histogram's bars say what they are, and lead to their events."""
    server = make_server(loader_linger_seconds=0.05).start()
    events = [
        build_event(f"cell-{n}", event_name="waited", event_time=f"2026-01-{19 + n % 7:02}T{n % 24:02}:10:00Z", value=n % 10 + 0.5)
        for n in range(168)
    ]  # fmt: skip
    assert server.send(events).status == 200
    server.wait_loaded()
    panels = [
        {"name": "week", "kind": "heatmap", "metrics": ["waited"]},
        {"name": "spread", "kind": "histogram", "metrics": ["wait"]},
        {"name": "steps", "kind": "bar", "metrics": ["waited"], "breakdown": ["event_weekday"]},
    ]
    for path, body in (
        ("metrics/waited", {"kind": "count", "event_name": "waited", "unit": "waits"}),
        (
            "metrics/wait",
            {"kind": "quantile", "event_name": "waited", "field": "value", "q": 0.5, "unit": "s"},
        ),
        ("dashboards/waits", {"from": "2026-01-19", "to": "2026-01-26", "panels": panels}),
    ):
        assert server.request("PUT", f"/v1/{path}", json.dumps(body), key=server.admin_key).status == 200
    page = sign_in_at(server).new_page()
    faults = []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.goto(f"{server.url}/dashboard?name=waits")

    week = page.locator("#panel-week figure[data-drawn]")
    expect(week.locator("path[aria-roledescription], path").first).to_be_attached()
    box = week.locator(".canvas svg").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.3)
    expect(week.locator(".hover b")).to_have_text(re.compile(r"^(Mon|Tue|Wed|Thu|Fri|Sat|Sun) \d\d:00$"))
    expect(week.locator(".hover")).to_contain_text("waits per hour")
    week.locator(".canvas").focus()
    page.keyboard.press("Home")
    expect(week.locator(".hover b")).to_have_text("Mon 00:00")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/events\?.*event_hour"))
    expect(page.locator("table.events tbody tr:not(.nothing)")).to_have_count(1)
    page.go_back()

    spread = page.locator("#panel-spread figure[data-drawn]")
    spread.locator(".canvas").focus()
    page.keyboard.press("End")
    expect(spread.locator(".hover b")).to_contain_text("s")
    page.keyboard.press("Home")
    expect(spread.locator(".hover b")).to_have_text("0 to 0.5 s")
    page.keyboard.press("ArrowRight")
    expect(spread.locator(".hover b")).to_have_text("0.5 to 1 s")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/events\?.*value"))
    expect(page.locator("table.events tbody tr:not(.nothing)")).to_have_count(17)
    assert faults == []
