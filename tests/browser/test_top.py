"""The way around: the links at the top of every page can be seen on a phone."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.store]
_WIDTH = 390


def test_all_pages_are_linked_on_a_phone(open_page):
    """At 390 pixels every link of the top lies on the screen, whole, and nothing scrolls to show it."""
    page = open_page(width=_WIDTH)
    for path in ("/", "/catalogue"):
        page.goto(path)
        links = page.locator(".top nav a")
        boxes = [box for box in (link.bounding_box() for link in links.all()) if box is not None]
        assert [link.inner_text() for link in links.all()][-4:] == [
            "Dashboards",
            "Metrics",
            "Alerts",
            "Settings",
        ]
        assert len(boxes) == links.count() == 8
        assert all(box["x"] >= 0 and box["x"] + box["width"] <= _WIDTH for box in boxes)
        wide = page.evaluate(
            "(() => { const nav = document.querySelector('.top nav'); return nav.scrollWidth - nav.clientWidth; })()"
        )
        assert wide <= 0
