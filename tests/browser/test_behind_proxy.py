"""Behind a real nginx, below a path: people sign in, look around, ask and sign out, whether the proxy passes the path on or not."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tallymark.client import Client
from tests.browser.conftest import Guard
from tests.conftest import lack

pytestmark = [pytest.mark.browser, pytest.mark.store]

CONFIG = """
daemon off; pid {folder}/pid; error_log stderr; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{
    listen 127.0.0.1:{port};
    {location}
  }}
}}
"""


PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def _read_location(behind: int, slash: str) -> str:
    """Return the block that the page tells people to use, for the test's own port."""
    (block,) = re.findall(r"^```nginx\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return block.replace("http://127.0.0.1:8600;", f"http://127.0.0.1:{behind}{slash};")


def _find_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(params=["", "/"], ids=["path passed on", "path taken away"])
def proxied(request, make_server, build_event, tmp_path):
    """Start nginx before a server; return the address below it, the server and nginx's port."""
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if program is None:
        lack("nginx is not installed: apt-get install nginx-light")
    port = _find_port()
    server = make_server(loader_linger_seconds=0.05, public_url=f"http://127.0.0.1:{port}/tm").start()
    server.send(
        [build_event(f"p{n}", event_name="clicked", attributes={"plan": "ab"[n % 2]}) for n in range(20)]
    )
    server.wait_loaded()
    text = CONFIG.format(folder=tmp_path, port=port, location=_read_location(server.port, request.param))
    (tmp_path / "nginx.conf").write_text(text)
    process = subprocess.Popen([program, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")])
    try:
        server.wait_until(
            lambda: socket.create_connection(("127.0.0.1", port)).close() is None, "nginx listens"
        )
        yield f"http://127.0.0.1:{port}/tm", server, port
    finally:
        process.terminate()
        process.wait(60)
        server.close()


def test_below_a_path(chromium, proxied):
    """Sign in, open every page, run a question, follow its rows, sign out: nothing leaves the path."""
    base, server, port = proxied
    guard = Guard(f"127.0.0.1:{port}")
    context = chromium.new_context(base_url=f"{base}/")
    context.set_default_timeout(60_000)
    guard.watch(context)
    outside: list[str] = []
    context.on(
        "request",
        lambda sent: (
            outside.append(sent.url) if not sent.url.startswith((f"{base}/", "data:", "blob:")) else None
        ),
    )
    page = context.new_page()
    page.goto("events?name=clicked")
    expect(page).to_have_url(re.compile(r"/tm/sign-in\?next="))
    page.get_by_label("Password").fill(server.password)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(re.compile(r"/tm/events\?"))
    expect(page.get_by_text("clicked").first).to_be_visible()
    assert {cookie["path"] for cookie in context.cookies()} <= {"/tm/", "/tm/sign-in"}
    for name in ("Home", "Events", "Quarantine", "Dashboards", "Metrics", "Alerts", "Settings", "Explore"):
        page.get_by_role("navigation", name="Pages").get_by_role("link", name=name).click()
        expect(page).to_have_url(re.compile(r"^http://[^/]+/tm/"))
    page.goto("explore?project=default&kind=trend&from=2026-01-31&to=2026-02-01&s0.event=clicked")
    expect(page.locator(".figures")).to_contain_text("20")
    page.get_by_role("link", name="events", exact=True).click()
    expect(page.locator("table.events tbody tr")).to_have_count(20)
    page.get_by_role("button", name=re.compile("Sign out")).click()
    expect(page).to_have_url(f"{base}/sign-in")
    assert outside == []
    assert guard.faults == []
    context.close()


def test_sending_below_a_path(proxied):
    """Clients send to the public address, with the path in front, and their events arrive."""
    base, server, _ = proxied
    with Client(base, server.write_key) as client:
        client.record("behavior", "sent_below_a_path")
    server.wait_until(
        lambda: server.sql("SELECT count() FROM events WHERE event_name = 'sent_below_a_path'") == [["1"]],
        "it is stored",
    )
