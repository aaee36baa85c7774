"""A real Chromium, a real server with ordinary and hostile events, and a guard on everything that a page does."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.conftest import lack

# A guard against hanging only: the machine may be busy.
expect.set_options(timeout=60_000)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
# Each would leave a mark in the page, open a dialog or ask another host if it ran.
HOSTILE = [
    "<script>window.ran=1;alert(1)</script>",
    '"><img src=x onerror="window.ran=1">',
    "'><svg onload=window.ran=1>",
    "javascript:window.ran=1",
    "{{7*7}}${7*7}",
    "datum['x'] + (window.ran=1)",
    '" + (window.ran = 1) + "',
    "</script><script>window.ran=1</script>",
    "https://evil.invalid/pixel.png",
    "__proto__",
    "constructor",
    "\u202emoc.elpmaxe\u202c \u0645\u0631\u062d\u0628\u0627",
    "\\u003cimg src=x onerror=window.ran=1\\u003e",
]
LONG = "long" * 60
_WATCH = """
document.addEventListener("securitypolicyviolation", (event) => {
  window.reportViolation(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile || ""}`);
});
"""


@pytest.fixture(scope="session")
def chromium_path() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        lack("Chromium is not installed: apt-get install chromium")
    return found


# By module: as long as it stands, its event loop is the thread's, which other tests need for themselves.
@pytest.fixture(scope="module")
def chromium(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Guard:
    """What pages did that they must not do. `allowed` are statuses that a test provokes."""

    host: str
    allowed: tuple[int, ...] = ()
    faults: list[str] = field(default_factory=list)

    def watch(self, context: BrowserContext) -> None:
        context.expose_function("reportViolation", lambda text: self.faults.append(f"policy: {text}"))
        context.add_init_script(_WATCH)
        context.on("request", self._check_request)
        context.on("page", self._watch_page)

    def _watch_page(self, page: Page) -> None:
        page.on("console", self._check_message)
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("dialog", self._refuse)

    def _refuse(self, dialog: Any) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _check_message(self, message: Any) -> None:
        if message.type in ("error", "warning") and not any(
            f"status of {status}" in message.text for status in self.allowed
        ):
            self.faults.append(f"console: {message.text}")

    def _check_request(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "about", "blob") and parts.netloc != self.host:
            self.faults.append(f"request: {request.url}")


@pytest.fixture
def guard(site: Any) -> Iterator[Guard]:
    watching = Guard(f"127.0.0.1:{site.port}")
    yield watching
    assert watching.faults == []


@pytest.fixture
def open_context(chromium: Browser, site: Any, guard: Guard) -> Iterator[Callable[..., BrowserContext]]:
    """Give a maker of browsers, each with its own cookies, closed at the end of the test."""
    with contextlib.ExitStack() as stack:

        def make(*, width: int = 1280, scheme: str = "light", **options: Any) -> BrowserContext:
            made = chromium.new_context(
                base_url=site.url,
                viewport={"width": width, "height": 900},
                color_scheme=scheme,  # type: ignore[arg-type]
                **options,
            )
            stack.callback(made.close)
            made.set_default_timeout(60_000)
            guard.watch(made)
            return made

        yield make


@pytest.fixture
def open_page(open_context: Callable[..., BrowserContext], site: Any) -> Callable[..., Page]:
    """Give a maker of pages on which the administrator is signed in."""

    def make(**options: Any) -> Page:
        page = open_context(**options).new_page()
        sign_in(page, site.password)
        return page

    return make


def sign_in(page: Page, password: str) -> None:
    page.goto("/sign-in")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/")


@pytest.fixture(scope="module")
def site(make_server: Callable[..., Any], build_event: Callable[..., dict[str, Any]]) -> Any:
    """Start a server with 30 visits over three days, of which some pay, and with everything hostile."""
    server = make_server(loader_linger_seconds=0.05).start()
    events = []
    for visit in range(30):
        day, browser = visit % 3 + 1, ("Firefox", "Chrome")[visit % 2]
        common = {
            "session_id": f"v{visit}",
            "agent_browser": browser,
            "attributes": {"plan": "ab"[visit % 2]},
        }
        for name, hour, share in (("visited", 10, 1), ("put_in_cart", 11, 2), ("paid", 12, 5)):
            if visit % share == 0:
                time = f"2026-01-0{day}T{hour}:00:00Z"
                fields = {**common, "event_name": name, "event_time": time, "value": float(visit)}
                events.append(build_event(f"{name}-{visit}", **fields))
    for number, text in enumerate([*HOSTILE, LONG]):
        fields = {"event_name": text, "event_type": text, "user_id": text, "page_url": text, "value": 1}
        attributes = {text: text, "list": [text], "deep": {text: {"x": text}}, "plan": text}
        events.append(build_event(f"hostile-{number}-{text[:40]}", **fields, attributes=attributes))
        events.append(
            build_event(f"same-{number}", event_name="hostile", attributes={"plan": text, "n": number})
        )
    answer = server.send(events)
    assert answer.status == 200, answer.body
    bad = [
        build_event(f"bad-{number}", event_time=text, event_name=text) for number, text in enumerate(HOSTILE)
    ]
    assert server.send(bad).status == 400
    server.make_project("empty")
    server.wait_loaded()
    return server
