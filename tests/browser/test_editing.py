"""Definitions changed by hand: a metric as YAML, panels with the mouse and from the keyboard."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.store]

HOSTILE = "</textarea><script>window.ran=1</script>\u202e"


@pytest.fixture
def put(site):
    """Give a way to write definitions over the API."""

    def write(path, body):
        answer = site.request("PUT", f"/v1/{path}", json.dumps(body), key=site.admin_key)
        assert answer.status == 200, answer.body

    return write


@pytest.fixture
def board(put, request):
    """Make a dashboard of four panels, three in the first row; give its address for arranging."""
    name = re.sub("[^a-z0-9]", "_", request.node.name)[:60]
    put(f"metrics/{name}", {"kind": "count", "event_name": "visited", "title": "Visits"})
    sizes = [("one", 4, 2), ("two", 4, 2), ("three", 4, 2), ("four", 12, 2)]
    panels = [
        {"name": panel, "kind": "number", "metrics": [name], "title": panel, "width": width, "height": height}
        for panel, width, height in sizes
    ]
    put(f"dashboards/{name}", {"from": "2026-01-01", "to": "2026-01-04", "title": HOSTILE, "panels": panels})
    return f"/dashboard?name={name}&edit=1"


def order(page):
    return [one.get_attribute("id").removeprefix("panel-") for one in page.locator(".panel").all()]


def drag(page, handle, to):
    """Press on the middle of a handle, go to a place in steps, and let go."""
    box = handle.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(*to, steps=8)


def test_a_metric_is_changed_by_hand(open_page, guard, put):
    """A mistake is shown at its line, where the cursor stands; mended and saved, the metric's page has the change."""
    guard.allowed = (400,)
    put("metrics/by_hand", {"kind": "count", "event_name": "visited", "title": HOSTILE})
    page = open_page()
    page.goto("/metric?name=by_hand&from=2026-01-01&to=2026-01-04")
    page.get_by_role("link", name="Edit", exact=True).click()
    area = page.get_by_label("Definition as YAML")
    text = area.input_value()
    assert 'title: "</textarea><script>window.ran=1</script>\\u202e"' in text

    wrong = text.replace("event_name", "evnt_name")
    area.fill(wrong)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("evnt_name")
    expect(area).to_have_value(wrong)
    expect(area).to_be_focused()
    number = wrong.split("evnt_name")[0].count("\n") + 1
    expect(page.locator("mark")).to_have_text(re.compile(f"^ +{number} +.*evnt_name: visited"))
    assert area.evaluate("area => area.value.slice(0, area.selectionStart).split('\\n').length") == number
    page.get_by_role("link", name=re.compile(f"^Line {number}, column")).click()
    assert "evnt_name: visited" in page.evaluate("getSelection().toString()")

    area.fill(wrong.replace("evnt_name", "event_name").replace("visited", "paid") + "    unit: purchases\n")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/metric?**")
    page.goto("/metric?name=by_hand&from=2026-01-01&to=2026-01-04")
    expect(page.locator("dl.figures")).to_contain_text("6 purchases")
    assert page.evaluate("window.ran") is None


def test_without_scripts_a_metric_is_made_and_removed(open_context, site):
    """The whole way from the catalogue and back works without any script."""
    page = open_context(java_script_enabled=False).new_page()
    page.goto("/sign-in")
    page.get_by_label("Password").fill(site.password)
    page.get_by_role("button", name="Sign in").click()
    page.goto("/catalogue")
    page.get_by_role("link", name="New metric").click()
    page.get_by_role("link", name="average", exact=True).click()
    area = page.get_by_label("Definition as YAML")
    area.fill(area.input_value().replace("my_metric", "made_plainly").replace("order_placed", "paid"))
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".heading")).to_contain_text("made_plainly · average")
    page.locator("summary", has_text="Remove").click()
    page.get_by_role("button", name="Remove this metric").click()
    expect(page.get_by_role("heading", name="Metrics")).to_be_visible()
    expect(page.get_by_text("made_plainly")).to_have_count(0)


def test_two_tabs_that_edit_the_same(open_page, guard, put):
    """The second to save sees both texts, and what differs; after that it may save over the first."""
    guard.allowed = (409,)
    put("metrics/twice", {"kind": "count", "event_name": "visited"})
    first = open_page()
    second = first.context.new_page()
    for tab in (first, second):
        tab.goto("/definition?kind=metric&name=twice")
    for tab, event in ((first, "paid"), (second, "put_in_cart")):
        area = tab.get_by_label("Definition as YAML")
        area.fill(area.input_value().replace("visited", event))
        tab.get_by_role("button", name="Save").click()
    first.wait_for_url("**/metric?**")
    expect(second.get_by_role("alert")).to_contain_text("was quicker and saved version 2")
    expect(second.locator(".theirs mark")).to_have_text("    event_name: paid")
    expect(second.get_by_label("Yours, as YAML")).to_have_value(re.compile("event_name: put_in_cart"))
    second.get_by_role("button", name="Save over version 2").click()
    second.wait_for_url("**/metric?**")
    expect(second.get_by_text("version 3")).to_be_visible()


def test_a_panel_is_dragged_and_resized(open_page, board):
    """Where it was dropped and how large it was drawn is there after a reload; a click on a title still opens it."""
    page = open_page()
    page.goto(board)
    expect(page.locator("#panel-four")).to_be_visible()
    target = page.locator("#panel-one").bounding_box()
    drag(page, page.locator("#panel-three > header"), (target["x"] + 20, target["y"] + 60))
    expect(page.locator("#panel-one")).to_have_class(re.compile("before"))
    expect(page.locator("#panel-three")).to_have_css("transform", re.compile("matrix"))
    with page.expect_navigation():
        page.mouse.up()
    assert order(page) == ["three", "one", "two", "four"]

    # Onto the lower half of the one that is as wide as the page: behind it.
    target = page.locator("#panel-four").bounding_box()
    drag(
        page, page.locator("#panel-three > header"), (target["x"] + 100, target["y"] + target["height"] - 20)
    )
    expect(page.locator("#panel-four")).to_have_class(re.compile("after stacked"))
    with page.expect_navigation():
        page.mouse.up()
    assert order(page) == ["one", "two", "four", "three"]
    expect(page.locator("#panel-three")).to_be_focused()

    panel = page.locator("#panel-two")
    box, corner = panel.bounding_box(), panel.locator(".corner").bounding_box()
    column = (page.locator("#panels").bounding_box()["width"] - 11 * 16) / 12 + 16
    place = (corner["x"] + 12 + 2 * column, corner["y"] + 12 + 96)
    drag(page, panel.locator(".corner"), place)
    expect(panel.locator(".size")).to_have_text("6 × 3")
    with page.expect_navigation():
        page.mouse.up()
    page.reload()
    expect(page.locator("#panel-two.w-6.h-3")).to_be_visible()
    assert order(page) == ["one", "two", "four", "three"]
    assert page.locator("#panel-two").bounding_box()["width"] > box["width"] + column

    page.locator("#panel-one h2 a").click()
    page.wait_for_url("**/metric?**")


def test_a_drag_that_is_given_up_changes_nothing(open_page, board, site):
    """Escape puts the panel back, in its old size; nothing is sent, also when it is dropped where it was."""
    page = open_page()
    page.goto(board)
    sent = []
    page.on("request", lambda request: request.method == "POST" and sent.append(request.url))
    panel = page.locator("#panel-one")
    drag(page, panel.locator(".corner"), (900, 500))
    expect(panel.locator(".size")).to_be_visible()
    page.keyboard.press("Escape")
    page.mouse.up()
    expect(page.locator("#panel-one.w-4.h-2 .size")).to_have_count(0)
    target = page.locator("#panel-two").bounding_box()
    drag(page, panel.locator("header"), (target["x"] + 10, target["y"] + 40))
    expect(page.locator("#panel-two.before")).to_be_visible()
    page.mouse.up()
    expect(page.locator(".before, .after, .moving")).to_have_count(0)
    assert order(page) == ["one", "two", "three", "four"]
    assert sent == []


def test_panels_are_dragged_with_a_finger(open_page, board):
    """On a phone, where panels stand below each other, a finger on the header moves the panel and not the page."""
    page = open_page(width=390, has_touch=True)
    page.goto(board)
    session = page.context.new_cdp_session(page)
    page.locator("#panel-two > header").scroll_into_view_if_needed()
    box = page.locator("#panel-two > header").bounding_box()
    target = page.locator("#panel-one").bounding_box()
    x, y = box["x"] + 40, box["y"] + box["height"] / 2
    before = page.evaluate("scrollY")

    def touch(kind, *points):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for y in points]})  # fmt: skip

    touch("touchStart", y)
    for share in range(1, 9):
        touch("touchMove", y + (target["y"] + 10 - y) * share / 8)
    assert page.evaluate("scrollY") == before
    expect(page.locator("#panel-one")).to_have_class(re.compile("before stacked"))
    with page.expect_navigation():
        touch("touchEnd")
    assert order(page) == ["two", "one", "three", "four"]


def test_a_keyboard_presses_the_same_button_again(open_page, board):
    """After each press the page is another one, and the focus is on the same button, in sight."""
    page = open_page()
    page.goto(board)
    page.locator("#panel-three").get_by_role("button", name=re.compile("^Wider")).focus()
    for width in (5, 6, 7, 8):
        page.keyboard.press("Enter")
        expect(page.locator(f"#panel-three.w-{width}")).to_be_visible()
        button = page.locator("#panel-three").get_by_role("button", name=re.compile("^Wider"))
        expect(button).to_be_focused()
        expect(button).to_be_in_viewport()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#panel-three.w-7")).to_be_visible()
    expect(page.locator(":focus")).to_have_attribute("value", "narrower")
    # A removed panel stays, with a link that has the focus and undoes it: no key removes anything by accident.
    page.locator("#panel-one").get_by_role("button", name=re.compile("^Remove")).press("Enter")
    expect(page.locator("#panel-one a.undo")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#panel-one").get_by_role("button", name=re.compile("^Remove"))).to_be_visible()
    page.locator("#panel-one").get_by_role("button", name=re.compile("^Remove")).press("Enter")
    page.get_by_role("button", name="Save without it").press("Enter")
    expect(page.locator("#panel-one")).to_have_count(0)
    assert order(page) == ["two", "three", "four"]
