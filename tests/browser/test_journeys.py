"""What people do with the pages, in a real browser, as they do it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.store]

TREND = "/explore?kind=trend&from=2026-01-01&to=2026-01-04&interval=day&s0.event=visited"


def figures(page):
    """Return the answer's table as texts, without the links to events."""
    return [row.locator("td").all_inner_texts()[:-1] for row in page.locator("table.rows tbody tr").all()]


def wait_drawn(page):
    expect(page.locator("figure[data-drawn] .canvas svg")).to_be_visible()


def test_signing_in_and_out(open_context, site, guard):
    """A wrong password is explained at its input, the right one leads where somebody wanted to go, and out again."""
    guard.allowed = (401,)
    page = open_context().new_page()
    page.goto("/events?name=visited")
    expect(page).to_have_title("Sign in · tallymark")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Name or password is wrong")
    page.get_by_label("Password").fill(site.password)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Events")).to_be_visible()
    assert "name=visited" in page.url
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    page.goto("/settings")
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_home_balances_and_follows_what_arrives(open_page, site, build_event):
    """The terms add up, the picture is drawn, and a new event appears without loading the page again."""
    page = open_page()
    expect(page.locator("#live-verdict .state")).to_have_text("Ready")
    expect(page.locator("#live-balance .state b")).to_have_text("Balanced")
    numbers = [int(text.replace(",", "")) for text in page.locator(".term b").all_inner_texts()]
    assert numbers[0] == sum(numbers[1:]) > 0
    wait_drawn(page)
    page.evaluate("window.sameDocument = true")
    now = datetime.now(UTC).isoformat()
    assert site.send([build_event("live-1", event_name="arrived_live", event_time=now)]).status == 200
    expect(page.locator("#live-arrivals")).to_contain_text("arrived_live")
    expect(page.locator(".term b").first).to_have_text(f"{numbers[0] + 1:,}")
    assert page.evaluate("window.sameDocument") is True
    wait_drawn(page)


def test_a_trend_by_choosing_and_its_link(open_page):
    """Choosing gives chart and table with the right figures, and the link alone gives them again."""
    page = open_page()
    page.goto("/explore")
    event = page.locator("[name='s0.event']")
    assert page.locator("#names option[value='visited']").count() == 1
    event.fill("visited")
    page.locator("[name=b0]").fill("agent_browser")
    page.locator("[name=from]").fill("2026-01-01")
    page.locator("[name=to]").fill("2026-01-04")
    page.locator("[name=interval]").select_option("day")
    page.get_by_role("button", name="Ask", exact=True).last.click()
    wait_drawn(page)
    expected = [[f"2026-01-0{day}", browser, "5"] for day in (1, 2, 3) for browser in ("Chrome", "Firefox")]
    assert figures(page) == expected
    assert page.locator(".legend li").all_inner_texts() == ["Chrome", "Firefox"]
    link = page.url
    assert "drop" not in link
    page.goto("/")
    page.goto(link)
    assert page.url == link
    assert figures(page) == expected
    assert page.locator("[name=b0]").input_value() == "agent_browser"
    page.get_by_role("link", name="events", exact=True).first.click()
    expect(page.locator("table.events tbody tr")).to_have_count(5)


def test_ratio_and_funnel(open_page):
    """A ratio shows its interval and n, a funnel its steps; both as the API answers them."""
    page = open_page()
    page.goto("/explore?kind=ratio&from=2026-01-01&to=2026-01-04&s0.event=paid&s1.event=visited")
    expect(page.locator(".figures dd").first).to_have_text("20.0 %")
    expect(page.locator(".figures")).to_contain_text("n = 30")
    page.goto(
        "/explore?kind=funnel&from=2026-01-01&to=2026-01-04&by=session_id&window=7d"
        "&s0.event=visited&s1.event=put_in_cart&s2.event=paid"
    )
    wait_drawn(page)
    reached = [(row[1], row[2]) for row in figures(page)]
    assert reached == [("visited", "30"), ("put_in_cart", "15"), ("paid", "3")]
    texts = page.locator(".canvas svg text").all_text_contents()
    assert "3 · 10.0 %" in texts


def test_a_row_can_be_taken_away_and_another_kind_chosen(open_page):
    """The cross removes its row from the link; changing the kind keeps the events."""
    page = open_page()
    page.goto(f"{TREND}&s1.event=paid&f0.field=plan&f0.value=a")
    page.get_by_role("button", name="Remove the condition on plan").click()
    assert "f0" not in page.url
    page.get_by_role("link", name="Funnel").click()
    assert [page.locator(f"[name='s{number}.event']").input_value() for number in (0, 1)] == [
        "visited",
        "paid",
    ]
    page.get_by_role("button", name="Remove visited").click()
    assert page.locator("[name='s0.event']").input_value() == "paid"


def test_a_wrong_question_says_so_at_its_input(open_page, guard):
    """The input with the mistake is marked and described; nothing that was chosen is lost."""
    guard.allowed = (400,)
    page = open_page()
    page.goto(f"{TREND}&s0.op=quantile&s0.field=value&s0.q=7")
    wrong = page.locator("[aria-invalid]")
    expect(wrong).to_have_attribute("name", "s0.q")
    assert wrong.get_attribute("aria-describedby") == "problem"
    expect(page.locator("#problem")).to_be_visible()
    assert page.locator("[name='s0.event']").input_value() == "visited"


def test_values_that_exist_are_offered(open_page):
    """While a condition is put together, the field's own values are offered."""
    page = open_page()
    page.goto(f"{TREND}&f0.field=agent_browser&f0.value=x")
    page.locator("[name='f0.value']").focus()
    expect(page.locator("datalist[id='values-f0.value'] option")).to_have_count(2)


def test_the_question_can_be_taken_along(open_page, site, tmp_path):
    """JSON, Python and curl are copied with the real address, and give the page's figures when they are run."""
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    page.goto(f"{TREND}&f0.field=plan&f0.value=a")
    rows = figures(page)
    texts = {}
    for name in ("json", "python", "curl"):
        page.locator(f"#copy-{name} button").click()
        expect(page.locator(f"#copy-{name} button")).to_have_text("Copied")
        texts[name] = page.evaluate("navigator.clipboard.readText()")
    asked = json.loads(texts["json"])
    answer = site.request("POST", "/v1/query", json.dumps(asked), key=site.read_key).json
    assert [[row[0][:10], str(row[1])] for row in answer["rows"]] == rows
    script = tmp_path / "question.py"
    script.write_text(texts["python"], encoding="utf-8")
    environment = {**os.environ, "TALLYMARK_READ_KEY": site.read_key}

    def run(*command):
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=60
        ).stdout

    printed = run(sys.executable, script)
    assert printed.splitlines() == [str(row) for row in answer["rows"]]
    told = json.loads(run("bash", "-c", texts["curl"]))
    assert told["rows"] == answer["rows"]


def test_the_first_event_by_the_empty_pages_own_words(open_page, site):
    """The empty home page's curl, pasted with a key of that project, fills the page."""
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    page.goto("/?project=empty")
    expect(page.get_by_role("heading", name="No event has arrived")).to_be_visible()
    page.locator("#copy-curl button").click()
    expect(page.locator("#copy-curl button")).to_have_text("Copied")
    key = site.make_key("write", "empty")
    command = page.evaluate("navigator.clipboard.readText()").replace("WRITE_KEY=...", f"WRITE_KEY={key}")
    subprocess.run(["bash", "-ec", command], capture_output=True, check=True, timeout=60)
    page.evaluate("document.activeElement.blur()")
    expect(page.locator("#live-arrivals")).to_contain_text("hello")
    expect(page.get_by_role("heading", name="No event has arrived")).to_be_hidden()


def test_an_event_is_found_and_followed(open_page, guard):
    """Search leads to one event, whole, and to its way through the stations; an unknown id gets a plain answer."""
    guard.allowed = (404,)
    page = open_page()
    page.goto("/events")
    page.locator("#name").fill("paid")
    page.locator("[name='f0.field']").fill("plan")
    page.locator("[name='f0.value']").fill("a")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("table.events tbody tr")).to_have_count(3)
    page.locator("table.events a").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("paid")
    assert page.locator(".path b").all_inner_texts() == ["Client", "Journal", "Dedup", "Store"]
    expect(page.locator(".fields")).to_contain_text("session_id")
    page.get_by_text("As JSON").click()
    whole = json.loads(page.locator("#whole").inner_text())
    assert whole["attributes"] == {"plan": "a"}
    page.goto("/events")
    page.get_by_label("Event id").fill("never-sent")
    page.keyboard.press("Enter")
    expect(page.locator(".state")).to_contain_text("Unknown")


def test_quarantine_says_what_to_do_and_replays(open_page):
    """Each code has its remedy and samples; a replay goes through the checks again and says how it ended."""
    page = open_page()
    page.goto("/quarantine")
    row = page.locator("tr", has_text="time_invalid").first
    expect(row).to_contain_text("ISO 8601")
    page.get_by_role("link", name="time_invalid").first.click()
    expect(page).to_have_url(re.compile("code=time_invalid"))
    expect(page.locator(".samples li").nth(1)).to_be_visible()
    page.locator(".samples button").first.click()
    expect(page.get_by_role("status")).to_contain_text("0 accepted, 1 failed again")
    expect(page.locator(".samples li").first).to_be_visible()


def test_everything_works_from_the_keyboard(open_context, site):
    """Skip link, sign-in, question and chart need no mouse, and focus can be seen."""
    page = open_context().new_page()
    page.goto("/explore")
    expect(page.get_by_label("Password")).to_be_focused()
    page.keyboard.type(site.password)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Explore")).to_be_visible()
    page.goto(TREND)
    wait_drawn(page)
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.canvas')"):
            break
    expect(page.locator(".canvas")).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".hover")).to_contain_text("Fri, 2 Jan 2026")
    expect(page.locator(".hover .number")).to_have_text("10")
    page.keyboard.press("Escape")
    expect(page.locator(".hover")).to_have_count(0)


def test_every_control_has_a_name(open_page):
    """Nothing that can be operated is without words for who cannot see it."""
    page = open_page()
    for path in ("/", "/events", "/quarantine", TREND, "/settings"):
        page.goto(path)
        nameless = page.evaluate(
            """[...document.querySelectorAll("input:not([type=hidden]), select, button, a[href]")].filter((one) =>
              !(one.labels?.length || one.getAttribute("aria-label") || one.textContent.trim() || one.title))
              .map((one) => one.outerHTML)"""
        )
        assert nameless == [], path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_in_one_direction_only(open_page, scheme):
    """At 390 pixels no page is wider than the screen, whatever stands in it."""
    page = open_page(width=390, scheme=scheme)
    for path in (
        "/",
        "/?project=empty",
        "/events",
        "/event?id=paid-0",
        "/quarantine",
        "/settings",
        TREND,
        "/explore?kind=trend&from=2026-01-01&to=2026-03-01&s0.event=hostile&b0=plan",
    ):
        page.goto(path)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390, path


def test_light_and_dark_follow_the_system_until_somebody_decides(open_page):
    """The page and its chart take the system's scheme; the switch wins, also after loading again."""
    page = open_page(scheme="dark")
    page.goto(TREND)
    wait_drawn(page)
    ground = "getComputedStyle(document.body).backgroundColor"
    stroke = "document.querySelector('.canvas svg .mark-line path').getAttribute('stroke')"
    dark = (page.evaluate(ground), page.evaluate(stroke))
    page.get_by_role("button", name="Use light colours").click()
    page.wait_for_function(f"{stroke} !== '{dark[1]}'")
    assert page.evaluate(ground) != dark[0]
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    assert page.evaluate(ground) != dark[0]


def test_without_scripts_everything_but_the_pictures_is_there(open_context, site):
    """Signing in, asking, searching and replaying need no script."""
    page = open_context(java_script_enabled=False).new_page()
    page.goto("/sign-in")
    page.get_by_label("Password").fill(site.password)
    page.get_by_role("button", name="Sign in").click()
    page.goto("/explore")
    page.locator("[name='s0.event']").fill("visited")
    page.locator("[name=from]").fill("2026-01-01")
    page.locator("[name=to]").fill("2026-01-04")
    page.locator("[name=interval]").select_option("")
    page.get_by_role("button", name="Ask", exact=True).last.click()
    expect(page.locator(".figures")).to_contain_text("30")
    assert re.search(r"s0\.event=visited", page.url)
