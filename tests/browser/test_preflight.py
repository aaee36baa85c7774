"""A page of another site sends events from a real browser, also when a tracing library adds headers of its own."""

from __future__ import annotations

import http.server
import threading

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.store]

SEND = """async ([url, key, event]) => {
  const headers = {
    Authorization: `Bearer ${key}`, "Content-Type": "application/json",
    traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", tracestate: "a=b", "X-B3-TraceId": "1", baggage: "c=d",
  };
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(event) });
  return [answer.status, await answer.json()];
}"""


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>shop</title>")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def shop():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_address[1]}/"
        server.shutdown()


def test_events_with_headers_of_a_tracing_library(chromium, server, shop, build_event):
    """Chromium lets them pass, and the event arrives."""
    context = chromium.new_context()
    try:
        page = context.new_page()
        page.goto(shop)
        told = page.evaluate(SEND, [f"{server.url}/v1/events", server.write_key, build_event("traced")])
    finally:
        context.close()
    assert told == [200, {"accepted": 1, "rejected": []}]
    server.wait_loaded()
    assert server.trace("traced")["verdict"] == "stored"
