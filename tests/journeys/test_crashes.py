"""Processes die while clients send: nothing acknowledged is lost, nothing is stored twice, the ledger is exact."""

from __future__ import annotations

import json

import pytest

from tests.conftest import POINTS_OF_EVENTS

TIMES = 3


def _print(title: str, deaths: dict[str, int], counts: dict[str, int]) -> None:
    print(f"\n{title}: {json.dumps(deaths)}\n{json.dumps(counts)}")


@pytest.mark.parametrize("room", ["journal.after", "journal.segment", "verdicts.", "loader.", "ledger_dedup"])
def test_death_at_every_named_point(room, make_saboteur, make_traffic):
    """A process that dies at any named point, three times each, loses and doubles nothing."""
    points = [point for point in POINTS_OF_EVENTS if _room_of(point) == room]
    saboteur = make_saboteur()
    traffic = make_traffic(saboteur.server).start()
    for turn in range(TIMES):
        for point in points:
            saboteur.crash_at(point, turn + 1)
    traffic.stop()
    counts = traffic.audit()
    assert all(saboteur.deaths[point] >= TIMES for point in points)
    _print(room, saboteur.deaths, counts)


def _room_of(point: str) -> str:
    if "segment" in point or point.startswith("retention."):
        return "journal.segment"
    if point.startswith("journal."):
        return "journal.after"
    return next((room for room in ("verdicts.", "loader.") if point.startswith(room)), "ledger_dedup")


def test_every_point_belongs_to_a_room():
    """No named point is left out of the test above."""
    rooms = {"journal.after", "journal.segment", "verdicts.", "loader.", "ledger_dedup"}
    assert {_room_of(point) for point in POINTS_OF_EVENTS} == rooms


def test_kill_of_each_process_and_of_all(make_saboteur, make_traffic):
    """Killing web, loader, store, the store and the loader during an insert, and everything, loses and doubles nothing."""
    saboteur = make_saboteur()
    traffic = make_traffic(saboteur.server, largest_batch=400).start()
    for _ in range(2):
        saboteur.kill("web")
        saboteur.kill_during_insert("store")
        saboteur.kill_during_insert("loader")
        saboteur.kill_everything()
        saboteur.kill("store")
        saboteur.kill("loader")
    traffic.stop()
    _print("kills", saboteur.deaths, traffic.audit())
