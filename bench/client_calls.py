"""What a call of the client costs the application, beside the same call of a peer.

A sink server in a process of its own really receives everything; after each round both sides are flushed and the
server's count is compared with the calls made, so that neither looks fast by dropping. Timed are the calls alone.
`python bench/client_calls.py` prints a table; `run()` returns its rows.
"""

from __future__ import annotations

import gzip
import http.client
import http.server
import itertools
import json
import logging
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

ROUNDS = 7
CALLS = 5000
IMPORT_EVENTS = 200_000


class _Sink(http.server.BaseHTTPRequestHandler):
    """Counts what both clients send."""

    protocol_version = "HTTP/1.1"
    counts: dict[str, int] = {"ours": 0, "peer": 0}  # noqa: RUF012  one server, one count

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(6, 1, 1)  # TCP_NODELAY: the answer must not wait for an acknowledgement

    def do_GET(self) -> None:
        self._answer(self.counts)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path == "/v1/events":
            events = body.count(b"\n") + 1 if body != b"[]" else 0
            self.counts["ours"] += events
            self._answer({"accepted": events, "rejected": []})
        else:
            self.counts["peer"] += len(json.loads(body)["batch"])
            self._answer({"status": 1})

    def _answer(self, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def serve() -> None:
    """Run the sink server; its port is the first line of its output."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    print(server.server_port, flush=True)
    server.serve_forever()


def read_counts(port: int) -> dict[str, int]:
    """Ask the sink server what it has received."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/")
        counts: dict[str, int] = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return counts


def measure(call: Callable[[], object], calls: int = CALLS) -> float:
    """Return the microseconds that one call takes, over `calls` calls."""
    rounds = itertools.repeat(None, calls)
    start = time.perf_counter()
    for _ in rounds:
        call()
    return (time.perf_counter() - start) / calls * 1e6


def compare(name: str, ours: Callable[[], float], peer: Callable[[], float]) -> dict[str, Any]:
    """Measure both in turn, so that a noisy moment hits both; return medians and their ratio."""
    pairs = [(ours(), peer()) for _ in range(ROUNDS)]
    ours_us = statistics.median(pair[0] for pair in pairs)
    peer_us = statistics.median(pair[1] for pair in pairs)
    return {"name": name, "ours_us": ours_us, "peer_us": peer_us, "ratio": peer_us / ours_us}


def run_record(port: int) -> dict[str, Any]:
    """Compare `client.record()` with 4 attributes and PostHog's `capture` with 4 properties."""
    import posthog  # noqa: PLC0415  the server process needs none of it

    from tallymark import Client  # noqa: PLC0415  the same

    logging.getLogger("posthog").setLevel(logging.ERROR)
    url = f"http://127.0.0.1:{port}"
    client = Client(url, "bench-key", service_name="bench")
    peer = posthog.Posthog("bench-key", host=url, max_queue_size=2 * CALLS, flush_interval=0.5)
    before = read_counts(port)

    def record() -> None:
        client.record("behavioral", "signup", plan="pro", seats=3, price=9.5, is_trial=True)

    def capture() -> None:
        peer.capture(
            "signup",
            distinct_id="user",
            properties={"plan": "pro", "seats": 3, "price": 9.5, "is_trial": True},
        )

    def time_ours() -> float:
        elapsed = measure(record)
        assert client.flush(60)
        return elapsed

    def time_peer() -> float:
        elapsed = measure(capture)
        peer.flush()
        return elapsed

    row = compare("record, 4 attributes / PostHog capture", time_ours, time_peer)
    peer.shutdown()
    client.close(10)
    after = read_counts(port)
    received = {side: after[side] - before[side] for side in after}
    assert received == {"ours": ROUNDS * CALLS, "peer": ROUNDS * CALLS}, (
        f"somebody dropped events: {received}"
    )
    return row


def run_increment(port: int) -> dict[str, Any]:
    """Compare `client.increment()` with two labels and prometheus_client's `labels(...).inc()`."""
    from prometheus_client import CollectorRegistry, Counter  # noqa: PLC0415  the server process needs none of it

    from tallymark import Client  # noqa: PLC0415  the same

    client = Client(f"http://127.0.0.1:{port}", "bench-key", metrics_interval=1)
    counter = Counter("requests", "Requests", ["method", "status"], registry=CollectorRegistry())
    row = compare(
        "increment, 2 labels / prometheus labels().inc()",
        lambda: measure(lambda: client.increment("requests", method="GET", status="200"), 20 * CALLS),
        lambda: measure(lambda: counter.labels(method="GET", status="200").inc(), 20 * CALLS),
    )
    assert client.close(10)
    assert not client.stats().dropped
    return row


def run_send_all(port: int) -> dict[str, Any]:
    """Send ready-made dictionaries of about 350 bytes; the peer is `json.dumps` of the same alone."""
    from tallymark import Client  # noqa: PLC0415  the server process needs none of it

    events = [
        {
            "event_time": "2026-01-01T00:00:00.000000Z",
            "event_id": f"01a204f0-c3f8-7ae1-b27a-{number:012d}",
            "event_type": "behavioral",
            "event_name": "page_viewed",
            "user_id": f"user-{number % 1000}",
            "page_url": "https://example.org/articles/how-to-count",
            "attributes": {
                "plan": "pro",
                "seats": number % 7,
                "price": 9.5,
                "text": "some words of payload " * 3,
            },
        }
        for number in range(IMPORT_EVENTS)
    ]
    rates = []
    for _ in range(5):
        with Client(f"http://127.0.0.1:{port}", "bench-key") as client:
            start = time.perf_counter()
            summary = client.send_all(events, timeout=120)
            rates.append((time.perf_counter() - start) / IMPORT_EVENTS * 1e6)
            assert summary.sent == IMPORT_EVENTS, summary
    start = time.perf_counter()
    for event in events:
        json.dumps(event)
    peer = (time.perf_counter() - start) / IMPORT_EVENTS * 1e6
    ours = statistics.median(rates)
    return {
        "name": "send_all, per event / json.dumps alone",
        "ours_us": ours,
        "peer_us": peer,
        "ratio": peer / ours,
    }


def run() -> list[dict[str, Any]]:
    """Return one row per comparison: name, ours_us, peer_us (microseconds per call, medians), ratio (peer / ours)."""
    server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        return [run_record(port), run_increment(port), run_send_all(port)]
    finally:
        server.terminate()
        server.wait(10)


def main() -> None:
    """Print the table."""
    if sys.argv[1:] == ["--serve"]:
        serve()
        return
    print(f"{'call / peer':55}{'ours us':>10}{'peer us':>10}{'ratio':>8}")
    for row in run():
        print(f"{row['name']:55}{row['ours_us']:10.2f}{row['peer_us']:10.2f}{row['ratio']:8.1f}")


if __name__ == "__main__":
    main()
