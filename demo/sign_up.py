"""A mobile sign-up of four steps: sessions with known rates per platform, made from a seed, always the same.

Every step is shown (phase IMPRESSION), then what somebody entered is verified (phase POST_VERIFICATION, status SUCCESS
or FAILURE). Who fails may try again in the same session, so raw counts and distinct sessions differ. `expected` counts
what any correct answer must say, from the events alone.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

EVENT = "sign_up_step"
SERVICE = "app"
SESSIONS = 6_000
STEPS = ("INPUT_PHONE_NUMBER", "VERIFY_SMS_CODE", "INPUT_NAME", "INPUT_PASSWORD")
SHOWN, VERIFIED = "IMPRESSION", "POST_VERIFICATION"
BEGIN, DAYS = datetime(2026, 6, 1, tzinfo=UTC), 28
PERIOD = {"from": "2026-06-01T00:00:00Z", "to": "2026-06-29T00:00:00Z"}
# Share of sessions, and of each step's attempts that succeed, in the order of STEPS.
PLATFORMS: dict[str, tuple[float, tuple[float, ...]]] = {
    "iOS": (0.38, (0.93, 0.81, 0.97, 0.90)),
    "Android": (0.44, (0.91, 0.88, 0.96, 0.89)),
    "Desktop": (0.18, (0.85, 0.74, 0.95, 0.93)),
}
# The share of attempts that succeed: of a platform, at a step, at a time.
Rate = Callable[[str, str, datetime], float]
_LEAVES_BEFORE_ENTERING, _TRIES_AGAIN, _MOST_TRIES = 0.04, 0.6, 4


def choose_platform(chance: random.Random) -> str:
    """Return the platform of a session."""
    return chance.choices(list(PLATFORMS), [share for share, _ in PLATFORMS.values()])[0]


def usual_rate(platform: str, step: str, _: datetime) -> float:
    """Return the rate at all times at which nothing is wrong."""
    return PLATFORMS[platform][1][STEPS.index(step)]


def build_sign_ups(sessions: int, seed: int = 1) -> Iterator[dict[str, Any]]:
    """Yield the events of so many sessions, spread over `DAYS` days from `BEGIN`."""
    chance = random.Random(seed)
    for number in range(sessions):
        platform = choose_platform(chance)
        # More people sign up in the evening than at night.
        hour = min(22.5, max(0.0, chance.gauss(17, 5)))
        time = BEGIN + timedelta(days=chance.randrange(DAYS), hours=hour)
        yield from build_session(f"sign-up-{seed}-{number}", platform, time, chance)


def build_session(
    session: str, platform: str, time: datetime, chance: random.Random, rate_of: Rate = usual_rate
) -> Iterator[dict[str, Any]]:
    """Yield the events of one session that begins at a time, in order."""
    made = 0

    def event(step: str, phase: str, status: str | None) -> dict[str, Any]:
        nonlocal made
        made += 1
        attributes = {"step": step, "phase": phase} | ({"status": status} if status else {})
        return {
            "event_id": f"{session}-{made}",
            "event_time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "event_type": "behavioral",
            "event_name": EVENT,
            "session_id": session,
            "agent_os": platform,
            "service_name": SERVICE,
            "attributes": attributes,
        }

    for step in STEPS:
        for _ in range(_MOST_TRIES):
            yield event(step, SHOWN, None)
            if chance.random() < _LEAVES_BEFORE_ENTERING:
                return
            time += timedelta(seconds=round(chance.lognormvariate(2.5, 0.7), 3))
            passed = chance.random() < rate_of(platform, step, time)
            yield event(step, VERIFIED, "SUCCESS" if passed else "FAILURE")
            time += timedelta(seconds=round(chance.uniform(0.5, 3), 3))
            if passed:
                break
            if chance.random() > _TRIES_AGAIN:
                return
        else:
            return


def expected(events: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Count what the sign-up's questions must answer.

    `shown` and `passed` are raw counts by (step, platform), `shown_sessions` and `passed_sessions` distinct sessions;
    `funnel` is how many sessions passed the steps in order, by platform and step.
    """
    shown: Counter[tuple[str, str]] = Counter()
    passed: Counter[tuple[str, str]] = Counter()
    shown_in, passed_in = defaultdict(set), defaultdict(set)
    for event in events:
        attributes = event["attributes"]
        key = (attributes["step"], event["agent_os"])
        if attributes["phase"] == SHOWN:
            shown[key] += 1
            shown_in[key].add(event["session_id"])
        elif attributes["status"] == "SUCCESS":
            passed[key] += 1
            passed_in[key].add(event["session_id"])
    return {
        "shown": shown,
        "passed": passed,
        "shown_sessions": {key: len(found) for key, found in shown_in.items()},
        "passed_sessions": {key: len(found) for key, found in passed_in.items()},
    }
