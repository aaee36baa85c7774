"""What people get wrong, and what they are told: each is one line that says how to go on."""

from __future__ import annotations

import json
import socket
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

pytestmark = pytest.mark.store


def _serve(server, folder, *flags, **variables):
    """Run `tallymark serve` beside a server until it ends by itself."""
    return subprocess.run(
        server.command("serve", "--data", str(folder), *flags),
        env={**server.variables(), **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_port_in_use(server, tmp_path):
    """A second server on the port of the first does not start: it would take half of its requests."""
    done = _serve(server, tmp_path / "other", "--port", str(server.port))

    assert done.returncode == 1
    assert "port_in_use" in done.stderr
    assert str(server.port) in done.stderr


def test_address_that_is_none(server, tmp_path):
    """An address that nothing can listen at is named, without a traceback."""
    done = _serve(server, tmp_path / "other", "--host", "192.0.2.1", "--port", "0")

    assert done.returncode == 1
    assert "address_unusable" in done.stderr
    assert "Traceback" not in done.stderr


def test_folder_that_is_none(server, tmp_path):
    """A data folder that is a file is named, without a traceback."""
    path = tmp_path / "file"
    path.write_text("")

    done = _serve(server, path, "--port", "0")

    assert done.returncode == 1
    assert "folder_unusable" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("TALLYMARK_WRITE_KEY", "short"), ("TALLYMARK_READ_KEY", "sh ort"), ("TALLYMARK_ADMIN_PASSWORD", "abc")],
)
def test_first_start_that_fails(make_server, name, value):
    """A first start with a key or password that cannot be used makes nothing: the next one is the first."""
    server = make_server()
    server.folder.mkdir(parents=True, exist_ok=True)
    refused = _serve(server, server.data, "--port", "0", **{name: value})

    server.start()
    listed = server.run("keys", "list", "--data", str(server.data)).stdout

    assert refused.returncode == 1
    assert "invalid_request" in refused.stderr
    assert "write" in listed
    assert "read" in listed
    assert server.send([]).status == 200


def test_command_without_the_server(server):
    """Where only the client is installed, `tallymark` says how to get the rest."""
    code = (
        "import sys; sys.modules['typer'] = None\n"
        "from tallymark.__main__ import main\n"
        "main()"
    )  # fmt: skip
    done = subprocess.run(
        [server.command()[0], "-c", code], capture_output=True, text=True, env=server.variables(), timeout=60
    )

    assert done.returncode == 1
    assert "pip install 'tallymark[server]'" in done.stderr


def test_place_of_an_error(server):
    """`at` names the byte at which reading stopped, in the request as it came."""
    body = '{"event_id":"p1","event_time":"2026-01-01T00:00:00Z","event_type":"a","event_name":"b","attributes":{"x":NaN}}'

    (rejected,) = server.send(body).json["rejected"]

    assert rejected["code"] == "number_not_finite"
    assert rejected["at"] == f"byte {body.index('NaN')}"


def test_refused_events_can_be_read(server):
    """Of an event that did not parse its code, place, size and hash can be read afterwards."""
    server.send('{"event_id": "broken')
    server.wait_loaded()

    newest = server.get("/v1/quarantine").json["refused"][0]

    assert newest["code"] == "malformed_json"
    assert newest["size"] == len('{"event_id": "broken')
    assert len(newest["sha256"]) == 64


def test_replay_that_is_accepted(server, build_event):
    """An event from a little too far ahead is quarantined; replayed once its time is near enough, it is stored."""
    admin = server.make_key("admin")
    near = datetime.now(UTC) + timedelta(days=1, seconds=4)
    event = build_event("ahead-1", event_time=near.isoformat())
    refused = server.send(event).json["rejected"]
    server.wait_loaded()
    waiting = [item["id"] for item in server.get("/v1/quarantine?code=time_out_of_range").json["events"]]

    def replayed() -> bool:
        if datetime.now(UTC) + timedelta(days=1) <= near:
            return False
        order = json.dumps({"ids": waiting})
        answer = server.request("POST", "/v1/quarantine/replay", order, key=admin).json
        return answer["accepted"] == 1

    server.wait_until(replayed, "the event is accepted")
    server.wait_loaded()

    assert [item["code"] for item in refused] == ["time_out_of_range"]
    assert server.trace("ahead-1")["verdict"] == "stored"
    again = server.request("POST", "/v1/quarantine/replay", json.dumps({"ids": waiting}), key=admin).json
    assert again == {"accepted": 0, "rejected": []}


def test_sender_in_the_middle_of_a_large_body(server):
    """A sender of too much gets to see the 413, even when it reads only after it has sent everything."""
    size = 6 * 1024 * 1024
    head = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.write_key}\r\nContent-Length: {size}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(head.encode())
        connection.sendall(b" " * size)
        answer = connection.recv(65536)

    assert b" 413 " in answer.split(b"\r\n")[0]
