"""Many rounds of sudden death at random places and moments while clients send; prints what became of every event."""

from __future__ import annotations

import os
import random
import time

import pytest

from tests.conftest import POINTS_OF_EVENTS

ROUNDS = int(os.environ.get("TALLYMARK_TORTURE_ROUNDS", "20"))
SEED = int(os.environ.get("TALLYMARK_TORTURE_SEED", "1"))


def _choose(dice: random.Random, saboteur):
    """Return one way to hurt the server: half of them at named points, half at any moment."""
    point = dice.choice(POINTS_OF_EVENTS)
    role = dice.choice(("web", "loader", "store", "jobs"))
    return dice.choice(
        (
            lambda: saboteur.crash_at(point, dice.randint(1, 3)),
            lambda: saboteur.crash_at(point, 1),
            lambda: saboteur.kill(role),
            lambda: saboteur.kill_during_insert(dice.choice(("store", "loader"))),
            saboteur.kill_everything,
        )
    )


@pytest.mark.long
def test_no_death_loses_or_doubles_an_event(make_saboteur, make_traffic):
    """After any number of sudden deaths each acknowledged event is stored once, and the ledger is exact."""
    dice = random.Random(SEED)
    saboteur = make_saboteur()
    traffic = make_traffic(saboteur.server, clients=3, largest_batch=100, pause=0.05, seed=SEED).start()
    started = time.monotonic()
    for _ in range(ROUNDS):
        _choose(dice, saboteur)()
        time.sleep(dice.random() * 0.5)  # the moment of the next death, not a wait for anything
    traffic.stop()
    counts = traffic.audit()
    print(f"\n{ROUNDS} rounds in {time.monotonic() - started:.0f} s, seed {SEED}")
    for what, times in [*sorted(saboteur.deaths.items()), ("", ""), *counts.items()]:
        print(f"  {what:42} {times}")
    assert sum(saboteur.deaths.values()) == ROUNDS
