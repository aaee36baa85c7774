"""A real server whose connections, descriptors and answers others try to use up."""

from __future__ import annotations

import contextlib
import socket
import subprocess

import psutil
import pytest

from tests.conftest import RunningServer, lack

pytestmark = pytest.mark.store


class FewDescriptors(RunningServer):
    """A server whose processes may have 256 descriptors each."""

    def command(self, *arguments: str) -> list[str]:
        return ["bash", "-c", 'ulimit -n 256; exec "$@"', "bash", *super().command(*arguments)]


@pytest.fixture
def few(tmp_path):
    server = FewDescriptors(tmp_path, {"loader_linger_seconds": 0.05}).start()
    yield server
    server.close()


def test_idle_connections_and_few_descriptors(few, build_event):
    """With 256 descriptors 400 idle connections cost no event: they go first, and `/readyz` says ready."""
    with contextlib.ExitStack() as stack:
        for _ in range(400):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", few.port)))
            connection.sendall(b"GET /v1/events HTTP/1.1\r\n")
        assert [few.send(build_event(f"beside-{number}")).status for number in range(30)] == [200] * 30
        assert few.get("/readyz").status == 200
        assert few.get("/v1/ledger").status == 200
        metrics = few.request("GET", "/metrics").body.decode()
    assert 'tallymark_connections_closed_total{reason="room"}' in metrics
    assert "connections_closed" in few.log
    assert psutil.Process(few.pids()["web"]).num_fds() < 256
    assert 'tallymark_requests_turned_away_total{code="too_many_connections"}' in metrics


def test_one_key_that_uploads_for_ever_and_few_descriptors(few, build_event):
    """With 256 descriptors 400 uploads of one project stand still; another project's events, `/readyz` and pages are answered."""
    few.make_project("other")
    other = few.make_key("write", "other")
    head = (
        f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {few.write_key}\r\n"
        "Content-Length: 1000\r\n\r\n["
    ).encode()
    with contextlib.ExitStack() as stack:
        for _ in range(400):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", few.port)))
            # Some are turned away at once, and the server closes them.
            with contextlib.suppress(OSError):
                connection.sendall(head)
        statuses = [few.send(build_event(f"other-{number}"), key=other).status for number in range(20)]
        assert statuses == [200] * 20
        assert few.get("/readyz").status == 200
        assert few.request("GET", "/sign-in").status == 200


def test_answers_that_nobody_reads(fresh, build_event):
    """Pages of events of 240 KB, asked for again and again and never read, leave the web process small, and others their answers."""
    events = [
        build_event(f"large-{number}", attributes={"text": f"{number}" + "x" * 240_000})
        for number in range(60)
    ]
    for start in range(0, 60, 12):
        assert fresh.send(events[start : start + 12]).status == 200
    fresh.wait_loaded()
    page = fresh.get("/v1/events?limit=500").json
    assert 20 < len(page["events"]) < 60
    assert page["next_cursor"]
    assert "8 MiB" in page["note"]
    web = psutil.Process(fresh.pids()["web"])
    before = web.memory_full_info().pss
    head = f"GET /v1/events?limit=500 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {fresh.read_key}\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(socket.create_connection(("127.0.0.1", fresh.port))).sendall(head * 20)
        refused = fresh.wait_until(
            lambda: (got := fresh.get("/v1/events?limit=500")).status == 503 and got,
            "no room is left for this project's answers",
        )
        assert refused.json["code"] == "overloaded"
        assert fresh.get("/v1/ledger").status == 200
        assert fresh.send(build_event("beside")).status == 200
        grown = web.memory_full_info().pss - before
    assert grown < 400 * 1024 * 1024


def test_ipv6(tmp_path):
    """`--host ::1` says an address that is one, and serves there."""
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            lack("this machine has no IPv6 loopback")
    server = RunningServer(tmp_path, {"host": "::1"})
    try:
        server.launch()
        server.wait_until(lambda: f"http://[::1]:{server.port}" in server.log, "the address is said")
        with socket.create_connection(("::1", server.port)) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: [::1]\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        command = server.command(
            "serve", "--data", str(server.data), "--host", "::1", "--port", str(server.port)
        )
        again = subprocess.run(command, capture_output=True, text=True, timeout=90)
        assert f"[::1]:{server.port}" in again.stderr + again.stdout
    finally:
        server.close()
