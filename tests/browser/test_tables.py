"""Tables show their answer: at the width of a desk and of a phone, and say so where there is more."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.store]

PERIOD = "from=2026-01-01&to=2026-01-04"
STEPS = "s0.event=visited&s1.event=put_in_cart&s2.event=paid"
FUNNEL = f"/explore?kind=funnel&{PERIOD}&by=session_id&window=7d&{STEPS}&b0=agent_browser"
RATIO = f"/explore?kind=ratio&{PERIOD}&interval=day&s0.event=paid&s1.event=visited"
# Whether something is to be seen without scrolling sideways, in the page or in its table.
IN_SIGHT = """(element) => {
  const box = element.getBoundingClientRect();
  let [left, right] = [0, document.documentElement.clientWidth];
  for (let at = element.parentElement; at; at = at.parentElement) {
    if (getComputedStyle(at).overflowX === "visible") continue;
    const place = at.getBoundingClientRect();
    [left, right] = [Math.max(left, place.left), Math.min(right, place.right)];
  }
  return box.width > 0 && box.height > 0 && box.left >= left - 1 && box.right <= right + 1;
}"""


def in_sight(page, selector, text=None):
    """Tell whether the first such element with that text is to be seen, and has a name beside or above it."""
    found = page.locator(selector)
    if text is not None:
        found = found.filter(has_text=text)
    return found.first.evaluate(IN_SIGHT)


@pytest.mark.parametrize("width", [1280, 390])
def test_a_funnel_shows_its_conversions_and_times(open_page, width):
    """With a breakdown, every figure of a step and the way to its events are to be seen without scrolling."""
    page = open_page(width=width)
    page.goto(FUNNEL)
    row = page.locator("table.answers tbody tr", has_text="Firefox").nth(1)
    cells = row.locator("td > *").all()
    texts = [cell.inner_text() for cell in cells]
    assert texts == ["Firefox", "2", "put_in_cart", "15", "100.0 %", "100.0 %", "1 h", "events"]
    for cell in cells:
        assert cell.evaluate(IN_SIGHT), cell.inner_text()


def test_three_breakdowns_leave_the_figures_in_sight(open_page):
    """Names and texts give way before figures leave the table's place."""
    page = open_page()
    page.goto(f"{FUNNEL}&b1=plan&b2=session_id")
    for cell in page.locator("table.answers tbody tr").first.locator("td > *").all():
        assert cell.evaluate(IN_SIGHT), cell.inner_text()


def test_a_phone_shows_what_each_figure_is(open_page):
    """One below the other, each value has its column's name beside it."""
    page = open_page(width=390)
    page.goto(RATIO)
    row = page.locator("table.answers tbody tr").first
    labels = row.locator("td").evaluate_all(
        "(cells) => cells.map((cell) => JSON.parse(getComputedStyle(cell, '::before').content))"
    )
    assert labels == ["time", "numerator", "denominator", "ratio", "low", "high", ""]
    values = row.locator("td").all_inner_texts()
    assert values[:4] == ["2026-01-01", "2", "10", "20.0 %"]
    for cell in row.locator("td > *").all():
        assert cell.evaluate(IN_SIGHT)


def test_few_columns_stay_side_by_side_on_a_phone(open_page):
    """A trend of one line is read down its column, also on a phone."""
    page = open_page(width=390)
    page.goto(f"/explore?kind=trend&{PERIOD}&interval=day&s0.event=visited&b0=agent_browser")
    expect(page.locator("table.answers thead")).to_be_visible()
    cells = page.locator("table.answers tbody tr").first.locator("td > *").all()
    places = [cell.bounding_box()["y"] for cell in cells]
    assert max(places) - min(places) < 8
    assert all(cell.evaluate(IN_SIGHT) for cell in cells)


@pytest.mark.parametrize("width", [1280, 390])
def test_what_to_do_and_its_button_are_in_sight(open_page, width):
    """Quarantine says what to do and replays, settings revoke, the list of events shows name, time and value."""
    page = open_page(width=width)
    page.goto("/quarantine")
    assert in_sight(page, "table.stack td", "Send ISO 8601")
    assert in_sight(page, "table.stack button")
    page.goto("/settings")
    assert in_sight(page, "table.stack summary", "Revoke")
    page.locator("table.stack summary").first.click()
    assert in_sight(page, "table.stack button.danger")
    page.goto("/events?name=paid")
    for part in ("time a", "name bdi", "number", "short bdi"):
        assert in_sight(page, f"table.events tbody .{part}"), part
    page.goto("/event?id=paid-0")
    assert in_sight(page, "table.fields td bdi")


def test_a_table_that_is_wider_than_its_place_says_so(open_page):
    """Its first column stays, and a shadow stands at the edge until the end is reached."""
    page = open_page(width=800)
    series = "&".join(f"s{n}.event=visited&s{n}.name={'n' * 20}{n}" for n in range(12))
    page.goto(f"/explore?kind=trend&{PERIOD}&interval=day&{series}")
    place = page.locator(".scroll.tall")
    assert place.evaluate("(one) => one.scrollWidth > one.clientWidth + 100")
    before = place.screenshot()
    place.evaluate("(one) => one.scrollTo(one.scrollWidth, 0)")
    assert page.locator("table.answers tbody td > bdi").first.evaluate(IN_SIGHT)
    assert in_sight(page, "table.answers tbody td a")
    assert place.screenshot() != before
    shadows = place.evaluate("(one) => getComputedStyle(one).backgroundAttachment")
    assert shadows == "local, scroll"


def test_weeks_are_named_by_their_mondays(open_page):
    """Each label of a weekly axis is a Monday, because weeks are."""
    for width in (1280, 390):
        page = open_page(width=width)
        page.goto("/explore?kind=trend&from=2026-01-01&to=2026-07-01&interval=week&s0.event=visited")
        expect(page.locator("figure[data-drawn] .canvas svg")).to_be_visible()
        labels = page.locator(".canvas svg .role-axis-label text").all_text_contents()
        dates = [text for text in labels if text[-3:].isalpha() and text[:1].isdigit()]
        assert len(dates) > 2
        days = {
            datetime.strptime(f"{text} 2026", "%d %b %Y").replace(tzinfo=UTC).strftime("%A") for text in dates
        }
        assert days == {"Monday"}


def test_an_error_is_a_page_that_leads_on(open_page, guard):
    """Whoever follows a broken link reads what is wrong with it, and one click leads back to the page."""
    guard.allowed = (400, 404)
    page = open_page()
    for path, link, heading in (
        ("/explore?q={bad", "Begin a new question", "Explore"),
        ("/events?project=nope", "Look through the events", "Events"),
        ("/quarantine?before=abc", "Go to the quarantine", "Refused and quarantined"),
    ):
        page.goto(path)
        expect(page.locator("h2")).to_be_visible()
        page.get_by_role("link", name=link).click()
        expect(page.get_by_role("heading", name=heading, level=1)).to_be_visible()


@pytest.fixture(scope="module")
def board(site):
    """Define a dashboard with a table of two short columns and one of four metrics with long titles, by browser."""
    names = [f"visits_{number}" for number in range(4)]
    put = [
        (
            f"metrics/{name}",
            {"kind": "count", "event_name": "visited", "title": f"Visits of the kind number {name[-1]}"},
        )
        for name in names
    ]
    panels = [
        {
            "name": "short",
            "kind": "table",
            "metrics": names[:1],
            "breakdown": ["attributes.plan"],
            "width": 6,
        },
        {"name": "long", "kind": "table", "metrics": names, "breakdown": ["agent_browser"], "width": 12},
    ]
    put.append(("dashboards/lists", {"from": "2026-01-01", "to": "2026-01-04", "panels": panels}))
    for path, body in put:
        answer = site.request("PUT", f"/v1/{path}", json.dumps(body), key=site.admin_key)
        assert answer.status == 200, answer.body
    return site  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_table_that_fits_has_no_shadow(board, open_page, scheme):
    """What covers the shadow has the colour of what it lies on, so that nothing is seen where nothing is hidden."""
    page = open_page(width=1280, scheme=scheme)
    page.goto("/dashboard?name=lists")
    place = page.locator("#panel-short .scroll")
    assert place.evaluate("(one) => one.scrollWidth <= one.clientWidth")
    cover, panel, head = place.evaluate(
        """(one) => [
          getComputedStyle(one).backgroundImage,
          getComputedStyle(one.closest(".panel")).backgroundColor,
          getComputedStyle(one.querySelector("th")).backgroundColor,
        ]"""
    )
    assert cover.startswith(f"linear-gradient(to left, {panel} 12px")
    assert head == panel


def test_a_phone_breaks_no_word_of_a_table(board, open_page):
    """Names stay whole in a dashboard's table; what has no room beside them is scrolled to."""
    page = open_page(width=390)
    page.goto("/dashboard?name=lists")
    place = page.locator("#panel-long .scroll")
    assert place.evaluate("(one) => one.scrollWidth > one.clientWidth")
    heights = place.locator("tr > :first-child > bdi").evaluate_all(
        "(names) => names.map((name) => name.getBoundingClientRect().height)"
    )
    assert len(heights) == 3
    assert max(heights) <= 20
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    # A name that nothing could hold is broken after all, and does not fill the screen.
    hostile = page.locator("#panel-short td:first-child").evaluate_all(
        "(cells) => Math.max(...cells.map((cell) => cell.getBoundingClientRect().width))"
    )
    assert hostile <= 200


def test_a_long_table_scrolls_in_its_panel(board, site, open_page):
    """A month of days does not stretch its row of panels: the table has the panel's height, and its last day is scrolled to."""
    panels = [{"name": "days", "kind": "table", "metrics": ["visits_0"], "width": 6, "height": 4}]
    body = {"from": "2026-01-01", "to": "2026-02-01", "interval": "day", "panels": panels}
    answer = site.request("PUT", "/v1/dashboards/month", json.dumps(body), key=site.admin_key)
    assert answer.status == 200, answer.body
    for width in (1280, 390):
        page = open_page(width=width)
        page.goto("/dashboard?name=month")
        place = page.locator("#panel-days .scroll")
        expect(place.locator("tbody tr")).to_have_count(31)
        assert page.locator("#panel-days").bounding_box()["height"] < 480
        place.locator("tbody tr").last.scroll_into_view_if_needed()
        assert place.evaluate("(one) => one.scrollTop > 0 && one.clientHeight >= 200")


def test_the_fields_of_a_definition_fit_a_phone(board, open_page):
    """The longest name of a field breaks where it has an underscore, and nothing is wider than the screen."""
    page = open_page(width=390)
    page.goto("/definition?kind=alert&metric=visits_0")
    expect(page.get_by_role("row", name="although_intermediate")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_conditions_are_read_whole(open_page):
    """In Explore an input is as wide as what stands in it; another one goes to the next line."""
    page = open_page(width=1280)
    condition = "attributes.a_long_name_of_a_field"
    page.goto(
        f"/explore?kind=ratio&{PERIOD}&s0.event=visited&s0.f0.field={condition}&s0.f0.value=POST_VERIFICATION_OF_IT"
        f"&s1.event=visited&f0.field=agent_browser&f0.op=in&f0.value=Firefox,Chrome,Safari&b0={condition}"
    )
    cut = page.locator("form.ask input").evaluate_all(
        "(all) => all.filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.value)"
    )
    assert cut == []
    assert page.locator("form.ask").evaluate("(form) => form.scrollWidth <= form.clientWidth")


@pytest.fixture(scope="module")
def huge(site, build_event):
    """Send values of eighteen digits, from three browsers, and define their sum."""
    events = [
        build_event(
            f"huge-{number}",
            event_name="huge",
            event_time=f"2026-01-0{number % 2 + 2}T10:00:00Z",
            value=9.1e17 + number,
            agent_browser=("Firefox", "Chrome", "Safari")[number % 3],
        )
        for number in range(6)
    ]
    assert site.send(events).status == 200
    site.wait_loaded()
    body = {"kind": "sum", "event_name": "huge", "field": "value", "unit": "EUR"}
    answer = site.request("PUT", "/v1/metrics/huge", json.dumps(body), key=site.admin_key)
    assert answer.status == 200, answer.body
    return site


@pytest.mark.parametrize("width", [1280, 390])
def test_long_figures_stay_in_their_place(huge, open_page, width):
    """Figures of many digits make no page wider than the screen: the largest breaks, and what moved it is scrolled to."""
    page = open_page(width=width)
    page.goto("/metric?name=huge&from=2026-01-03&to=2026-01-04&dimensions=agent_browser")
    assert page.locator(".figures dd").first.inner_text().count(",") >= 5
    place = page.locator(".explained .scroll").first
    expect(place).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".explained").evaluate("(one) => one.scrollWidth <= one.clientWidth")
