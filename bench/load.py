"""A load generator that costs little: ready-made requests over a few keep-alive connections, in a process of its own.

`build_bodies` makes events of our own shape; `send` posts bodies and times each answer. Everything stays on
127.0.0.1.
"""

from __future__ import annotations

import itertools
import multiprocessing
import random
import socket
import threading
import time
import uuid
from dataclasses import dataclass
from typing import Any

import msgspec
from rows import percentile

_seeds = itertools.count(int(time.time()))
_CARRIERS = ("UA", "AA", "DL", "B6", "EV", "MQ", "US", "WN")
_ORIGINS = ("EWR", "JFK", "LGA")
_NAMES = ("page_viewed", "item_added", "checkout_started", "order_paid")


def next_seed() -> int:
    """Return a seed that gives events whose ids nobody has sent yet."""
    return next(_seeds)


def build_events(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Make `count` events of about 350 bytes with ids that no other seed makes; times of one day in 2025."""
    start = 1_760_000_000
    chance = random.Random(seed)
    return [
        {
            "event_id": str(
                uuid.UUID(int=(1_760_000_000_000 + number << 80) | chance.getrandbits(76) | (7 << 76))
            ),
            "event_time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(start + number % 86_400)),
            "event_type": "behavioral",
            "event_name": _NAMES[number % 4],
            "session_id": f"session-{seed}-{number // 8}",
            "user_id": f"user-{number % 5000}",
            "service_name": "shop",
            "service_version": "1.4.2",
            "value": (number % 1000) / 4,
            "attributes": {
                "carrier": _CARRIERS[number % 8],
                "origin": _ORIGINS[number % 3],
                "distance": number % 2500,
                "category": f"category-{number % 40}",
                "quantity": number % 7,
            },
        }
        for number in range(count)
    ]


def build_bodies(events: int, batch: int, seed: int = 0) -> list[bytes]:
    """Encode events as NDJSON bodies of `batch` events."""
    made = build_events(events, seed)
    encoder = msgspec.json.Encoder()
    return [encoder.encode_lines(made[start : start + batch]) for start in range(0, events, batch)]


@dataclass(frozen=True, slots=True)
class Sent:
    """What a run did: seconds from first to last byte, answers by status, seconds per request."""

    seconds: float
    statuses: dict[int, int]
    latencies: list[float]

    def percentile(self, q: float) -> float:
        """Return a percentile of the latencies, in seconds."""
        return percentile(self.latencies, q)


@dataclass(frozen=True, slots=True)
class Sending:
    """A run that another process is at."""

    process: Any
    pipe: Any

    def result(self) -> Sent:
        """Wait for its end and return what it did; any answer but 200 fails it."""
        sent: Sent = self.pipe.recv()
        self.process.join()
        # A refusal is quick: figures with one in them would be worth nothing.
        assert set(sent.statuses) == {200}, sent.statuses
        return sent


def start_sending(
    port: int, key: str, bodies: list[bytes], *, connections: int = 4, per_second: float = 0.0
) -> Sending:
    """Begin to post the bodies from another process; `per_second` paces requests (0: as fast as it goes)."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_send_all, args=(theirs, port, key, bodies, connections, per_second))
    process.start()
    return Sending(process, ours)


def send(port: int, key: str, bodies: list[bytes], *, connections: int = 4, per_second: float = 0.0) -> Sent:
    """Post the bodies from another process and wait for its end."""
    return start_sending(port, key, bodies, connections=connections, per_second=per_second).result()


def _send_all(
    pipe: Any, port: int, key: str, bodies: list[bytes], connections: int, per_second: float
) -> None:
    head = f"POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\nContent-Length: "
    requests = [f"{head}{len(body)}\r\n\r\n".encode() + body for body in bodies]
    results: list[tuple[int, float]] = []
    started = time.perf_counter()
    threads = [
        threading.Thread(
            target=_send_some, args=(port, requests, first, connections, per_second, started, results)
        )
        for first in range(connections)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    statuses: dict[int, int] = {}
    for status, _ in results:
        statuses[status] = statuses.get(status, 0) + 1
    pipe.send(Sent(seconds, statuses, [latency for _, latency in results]))


def _send_some(
    port: int,
    requests: list[bytes],
    first: int,
    step: int,
    per_second: float,
    started: float,
    results: list[tuple[int, float]],
) -> None:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for number in range(first, len(requests), step):
        if per_second:
            # Open loop: a slow answer does not slow the senders down, it shows.
            due = started + number / per_second
            pause = due - time.perf_counter()
            if pause > 0:
                time.sleep(pause)
        else:
            due = time.perf_counter()
        connection.sendall(requests[number])
        results.append((_read_status(connection), time.perf_counter() - due))
    connection.close()


def _read_status(connection: socket.socket) -> int:
    """Read one whole answer; returns its status."""
    answer = connection.recv(65536)
    while (end := answer.find(b"\r\n\r\n")) < 0:
        answer += connection.recv(65536)
    head = answer[:end].lower()
    length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
    missing = end + 4 + length - len(answer)
    while missing > 0:
        missing -= len(connection.recv(65536))
    return int(answer[9:12])
