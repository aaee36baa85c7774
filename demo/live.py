"""People who sign up while the demo runs: about sixty sessions a minute, and on iOS the SMS code fails now and then.

They go to the server as those of any application would: through the client, at their own times, beside what
`host_metrics` tells of the machine. All of it bears the service `app_live`, so that it can be told from what the demo checks.
"""

from __future__ import annotations

import heapq
import itertools
import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from sign_up import build_session, choose_platform, usual_rate

from tallymark import Client

SERVICE = "app_live"
SESSIONS_A_MINUTE = 60
STEP, PLATFORM = "VERIFY_SMS_CODE", "iOS"
# The trouble begins so long after the start, lasts so long, and comes again.
FAILS_AFTER, FAILS_FOR, FAILS_EVERY = timedelta(minutes=3), timedelta(minutes=5), timedelta(minutes=30)
# A few codes are right all the same, as in most troubles.
FAILING_RATE = 0.02
# After the machine slept, what nobody did meanwhile is left out.
_LATEST = timedelta(minutes=1)


def is_failing(since_start: timedelta) -> bool:
    """Tell whether the SMS code fails so long after the start."""
    return since_start >= FAILS_AFTER and (since_start - FAILS_AFTER) % FAILS_EVERY < FAILS_FOR


def build_live(start: datetime, seed: int = 1) -> Iterator[dict[str, Any]]:
    """Yield the events of all sessions since a start, in the order of their times, without end."""
    chance = random.Random(seed)

    def rate_of(platform: str, step: str, time: datetime) -> float:
        fails = (platform, step) == (PLATFORM, STEP) and is_failing(time - start)
        return FAILING_RATE if fails else usual_rate(platform, step, time)

    # Sessions overlap: what comes later than the next session's begin waits.
    waiting: list[tuple[str, int, int, dict[str, Any]]] = []
    begin = start
    for number in itertools.count():
        begin += timedelta(seconds=chance.expovariate(SESSIONS_A_MINUTE / 60))
        session = f"live-{start.timestamp():.3f}-{number}"
        made = build_session(session, choose_platform(chance), begin, chance, rate_of)
        for place, event in enumerate(made):
            heapq.heappush(waiting, (event["event_time"], number, place, event | {"service_name": SERVICE}))
        while waiting and datetime.fromisoformat(waiting[0][0]) <= begin:
            yield heapq.heappop(waiting)[-1]


class Live:
    """Sends in a thread of its own from `start` to `stop`.

    Made as soon as the server is ready, since it tells how long the process took to come to that.
    """

    def __init__(self, client: Client) -> None:
        self._client = client.with_service(SERVICE)
        self._client.host_metrics()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._send, name="live", daemon=True)

    def start(self) -> None:
        """Let people sign up from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Send what is waiting, and end. May be called before `start`."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()
        self._client.close()

    def _send(self) -> None:
        for event in build_live(datetime.now(UTC), seed=random.randrange(2**32)):
            wait = datetime.fromisoformat(event["event_time"]) - datetime.now(UTC)
            if self._ending.wait(max(0.0, wait.total_seconds())):
                return
            if -wait < _LATEST:
                self._client.record_raw(event)
