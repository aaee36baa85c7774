"""Panels where they have to fit: a wall in full screen, a frame in another site; and what a screen reader calls them."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.store]
CAVEAT = "Counts what was put in the cart, not what was paid for: who pays a day later is not seen here."
PANELS = [
    {"name": "total", "kind": "number", "metrics": ["paid"], "width": 3, "height": 2},
    {"name": "course", "kind": "line", "metrics": ["carts"], "width": 9, "height": 2},
    {"name": "week", "kind": "heatmap", "metrics": ["paid"], "width": 6, "height": 3},
    {"name": "plans", "kind": "bar", "metrics": ["paid"], "breakdown": ["attributes.plan"], "width": 6, "height": 3},
    {"name": "list", "kind": "table", "metrics": ["paid"], "breakdown": ["session_id"], "width": 12, "height": 2},
]  # fmt: skip
_BOXES = """() => [...document.querySelectorAll(".panel")].map((panel) => {
  const chart = panel.querySelector(".canvas svg")?.getBoundingClientRect();
  const box = panel.getBoundingClientRect();
  return {
    name: panel.id.slice("panel-".length),
    width: box.width,
    hidden: Math.max(panel.scrollHeight - panel.clientHeight, panel.scrollWidth - panel.clientWidth),
    chart: chart && chart.width,
    over: chart ? Math.max(chart.bottom - box.bottom, chart.right - box.right) : 0,
  };
})"""


@pytest.fixture(scope="module")
def board(site):
    """Define a dashboard whose panels have too little room for what they show."""
    metrics = {
        "paid": {"kind": "count", "event_name": "paid"},
        "carts": {"kind": "count", "event_name": "put_in_cart", "role": "intermediate", "caveat": CAVEAT},
    }
    dashboard = {
        "title": "The shop on a wall", "owner": "shop", "from": "2026-01-01", "to": "2026-01-04", "interval": "hour", "panels": PANELS,
    }  # fmt: skip
    put = [*((f"metrics/{name}", body) for name, body in metrics.items()), ("dashboards/wall", dashboard)]
    for path, body in put:
        answer = site.request("PUT", f"/v1/{path}", json.dumps(body), key=site.admin_key)
        assert answer.status == 200, answer.body
    return site


def test_a_wall_shows_all_of_the_dashboard(board, open_page):
    """In full screen the title, the time and all panels are there, charts have the new width, and nothing is cut."""
    page = open_page(width=1280)
    page.goto("/dashboard?name=wall")
    drawn = page.locator(".panel figure[data-drawn]")
    expect(drawn).to_have_count(4)
    before = {one["name"]: one for one in page.evaluate(_BOXES)}
    page.get_by_role("button", name="Full screen").click()
    page.wait_for_function("document.fullscreenElement?.id === 'main'")
    page.set_viewport_size({"width": 1920, "height": 1080})
    expect(page.get_by_role("heading", name="The shop on a wall")).to_be_in_viewport()
    expect(page.locator(".heading")).to_contain_text("2026-01-01 to before 2026-01-04")
    expect(page.get_by_role("button", name="Show")).to_be_hidden()
    wide = f"({_BOXES})().filter((one) => one.chart).every((one) => one.chart > one.width - 60)"
    page.wait_for_function(wide)
    walls = {one["name"]: one for one in page.evaluate(_BOXES)}
    for name, one in walls.items():
        assert one["width"] > before[name]["width"] * 1.3, one
        assert one["hidden"] <= 1, one
        assert one["over"] <= 0, one
    # Leaving it gives the page back as it was.
    page.evaluate("document.exitFullscreen()")
    page.set_viewport_size({"width": 1280, "height": 900})
    expect(page.get_by_role("button", name="Show")).to_be_visible()
    page.wait_for_function(wide)
    expect(page.locator(".grows")).to_have_count(0)
    page.wait_for_function(f"({_BOXES})().every((one) => one.over <= 0)")
    after = {one["name"]: one for one in page.evaluate(_BOXES)}
    assert {name: one["chart"] for name, one in after.items()} == {
        name: one["chart"] for name, one in before.items()
    }


@pytest.mark.parametrize("size", [(640, 400), (320, 240)])
@pytest.mark.parametrize("panel", ["course", "plans", "list", "week", "total"])
def test_a_frame_cuts_nothing(board, open_context, panel, size):
    """At the offered size a chart with a caveat fits with its axis; in a tiny frame what has no room can be scrolled to."""
    order = json.dumps({"dashboard": "wall", "panel": panel})
    made = board.request("POST", "/v1/embeds", order, key=board.admin_key).json
    width, height = size
    page = open_context(width=width).new_page()
    page.set_viewport_size({"width": width, "height": height})
    page.goto(urlsplit(made["url"]).path)
    if panel != "list":
        expect(page.locator("figure[data-drawn]")).to_have_count(1)
    main = page.locator("main")
    shown, whole, across, wide = main.evaluate(
        "(main) => [main.clientHeight, main.scrollHeight, main.clientWidth, main.scrollWidth]"
    )
    assert shown == height
    assert wide <= across
    assert page.evaluate("document.documentElement.scrollHeight") <= height
    if size == (640, 400) and panel in ("course", "week", "total"):
        assert whole <= shown
        bottom = page.locator(".canvas svg").evaluate("(svg) => svg.getBoundingClientRect().bottom")
        # It takes what there is, not less.
        assert height - (120 if panel != "total" else height) < bottom <= height
    # Whatever stands below can be reached.
    main.evaluate("(main) => main.scrollTo(0, main.scrollHeight)")
    last = main.evaluate("(main) => main.lastElementChild.getBoundingClientRect().bottom")
    assert last <= height


def test_a_chart_is_called_by_its_name(board, open_page):
    """Who listens hears the panel's name and that it is a picture, also after it was drawn again."""
    page = open_page()
    page.goto("/dashboard?name=wall")
    canvas = page.locator("#panel-course .canvas")
    expect(page.locator("#panel-course figure[data-drawn]")).to_have_count(1)
    for _ in range(2):
        expect(canvas).to_have_attribute("role", "img")
        expect(canvas).to_have_accessible_name("carts")
        assert canvas.get_attribute("aria-roledescription") is None
        page.get_by_role("button", name="Dark").or_(page.get_by_role("button", name="Light")).first.click()
        page.wait_for_timeout(500)


def test_filters_of_all_panels_offer_what_there_is(board, open_page):
    """Fields are offered once somebody begins, then the values of the field chosen, over all names of events."""
    page = open_page(width=1280)
    page.goto("/dashboard?name=wall")
    page.get_by_text("Filters for all panels").click()
    page.get_by_label("Field").first.focus()
    page.wait_for_function(
        "document.querySelectorAll('#fields option[value=\"attributes.plan\"]').length === 1"
    )
    page.get_by_label("Field").first.fill("attributes.plan")
    value = page.get_by_label("Value").first
    value.focus()
    page.wait_for_function("document.querySelectorAll('#values-f0\\\\.value option').length > 1")
    value.fill("a")
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(page).to_have_url(re.compile(r"f0\.field=attributes\.plan&.*f0\.value=a\b"))
    expect(page.locator("summary", has_text="Filters for all panels (1)")).to_be_visible()
