"""Names and values are somebody else's: nothing of them runs, loads or leaves its place (F33)."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from tallymark.web.filter_rows import write_name
from tallymark.web.texts import show_line

pytestmark = [pytest.mark.browser, pytest.mark.store]


@pytest.fixture
def names(site):
    """Give the hostile event names that are stored."""
    rows = site.request("GET", "/v1/names", key=site.read_key).json
    return [row["name"] for row in rows if row["count"] == 1]


def explore(**fields):
    period = {"from": "2026-01-01", "to": "2026-03-01"}
    return "/explore?" + urlencode(
        {**period, **{name.replace("__", "."): value for name, value in fields.items()}}
    )


def check(page):
    assert page.evaluate("window.ran") is None
    assert page.locator("main img, main script:not([type='application/json'])").count() == 0


def test_lists_and_single_events(open_page, site, names):
    """Every hostile event is listed and shown whole, as text."""
    assert len(names) >= 10
    page = open_page()
    for path in ("/", "/events", "/quarantine", "/quarantine?code=time_invalid", "/settings"):
        page.goto(path)
        check(page)
    ids = [row[0] for row in site.sql("SELECT hex(event_id) FROM events WHERE event_id LIKE 'hostile-%'")]
    for number, encoded in enumerate(ids):
        event_id = bytes.fromhex(encoded).decode()
        page.goto("/event?" + urlencode({"id": event_id}))
        assert page.locator(".id code").inner_text().split() == show_line(event_id).split()
        expect(page.locator(".path li")).to_have_count(4)
        check(page)
        if number == 0:
            page.get_by_text("As JSON").click()


def test_names_as_series_steps_and_labels(open_page, names):
    """A hostile name can be asked for, drawn and read like any other."""
    page = open_page()
    for name in names:
        page.goto(
            explore(
                kind="trend",
                interval="day",
                s0__event=write_name(name),
                s1__event="hostile",
                s1__name=f"{name}.",
            )
        )
        expect(page.locator("figure[data-drawn] .canvas svg")).to_be_visible()
        legend = page.locator(".legend bdi").first.text_content()
        assert legend == show_line(name)
        page.locator(".canvas").hover()
        expect(page.locator(".hover .name").first).to_be_attached()
        check(page)
    page.goto(
        explore(
            kind="funnel",
            by="session_id",
            window="7d",
            s0__event="visited",
            s1__event=write_name(names[0]),
            s1__name=write_name(names[1]),
        )
    )
    expect(page.locator("figure[data-drawn] .canvas svg")).to_be_visible()
    check(page)


def test_no_name_reads_as_another(open_page, site, build_event):
    """A name that turns its letters around shows what turns them, in lists, headings, tables and pictures."""
    turned = "\u202eevil\u202c"
    written = "\\u202eevil\\u202c"
    events = [
        build_event(
            "turned-1", event_name=turned, event_type=turned, user_id=turned, attributes={turned: turned}
        ),
        build_event("turned-2", event_name="live", attributes={"way": turned}),
        build_event("turned-3", event_name=turned, event_time="never"),
    ]
    assert site.send(events).status == 207
    site.wait_loaded()
    page = open_page()
    for path in (
        "/",
        "/events?" + urlencode({"name": turned}),
        "/event?id=turned-1",
        "/event?id=turned-3",
        "/quarantine",
        explore(kind="trend", interval="day", s0__event=turned),
        explore(kind="trend", s0__event="live", b0="way"),
        explore(kind="funnel", s0__event=turned, by="user_id", window="1d"),
        explore(kind="trend", s0__event=turned + "x"),
    ):
        page.goto(path)
        if page.locator("figure[data-chart]").count():
            expect(page.locator("figure[data-drawn]").first).to_be_visible()
        # What stands in inputs is what is sent; the rest is what people read.
        shown = page.evaluate(
            """() => [document.title, document.body.innerText, ...[...document.querySelectorAll("[title], [aria-label]")]
              .map((one) => one.title + one.ariaLabel), ...[...document.querySelectorAll("svg text")]
              .map((one) => one.textContent)].join("\\n")"""
        )
        assert "\u202e" not in shown, path
        assert written in shown, path


def test_values_as_groups(open_page):
    """Hostile values stand beside their bars and in the table, and lead to their events."""
    page = open_page()
    for kind in ("trend", "ratio"):
        page.goto(
            explore(kind=kind, s0__event="hostile", s1__event="hostile", b0="plan")
            if kind == "ratio"
            else explore(kind=kind, s0__event="hostile", b0="plan")
        )
        expect(page.locator("figure[data-drawn] .canvas svg")).to_be_visible()
        assert page.locator("table.rows tbody tr").count() == 14
        assert any("<script>" in text for text in page.locator(".canvas svg text").all_text_contents())
        check(page)
    links = [link.get_attribute("href") for link in page.get_by_role("link", name="events", exact=True).all()]
    for link in links:
        page.goto(link)
        expect(page.locator("table.events tbody tr a")).to_have_count(1)
        check(page)


def test_hostile_fields_and_questions(open_page, guard, names):
    """Whatever stands in a link, the answer is a page of ours."""
    guard.allowed = (400, 404)
    page = open_page()
    for number, name in enumerate(names):
        variants = (
            {"s0__event": "hostile", "b0": name},
            {"s0__event": "hostile", "f0__field": name, "f0__op": "matches", "f0__value": "("},
            {"s0__event": "hostile", "interval": name, "tz": name, "limit": name},
            {"q": '{"kind": "' + name},
            {"project": name},
        )
        # Each name in two of the places, each place with several names.
        for place in (number, number + 2):
            page.goto(explore(kind="trend", **variants[place % len(variants)]))
            check(page)
        page.goto(
            "/events?"
            + urlencode({"name": name, "f0.field": name, "f0.op": name, "from": name, "before": name})
        )
        check(page)
