"""Days of metrics judged through the remembered answers, and the verdicts remembered for some minutes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import msgspec

from tallymark.errors import RequestRefused, TallymarkError
from tallymark.metrics.usual import Judged, ask_days, judge_day
from tallymark.plan.kinds.metric import Metric
from tallymark.queries.events import find_present
from tallymark.queries.period import build_period
from tallymark.web.asking import Asker
from tallymark.web.remembered import Key, Remembered
from tallymark.web.services import Services

KEPT_SECONDS: Final = 300
_REMEMBERED: Final = 2000


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a metric could not be asked; `passes` where it may go well the next time."""

    message: str
    passes: bool


class Judging:
    """Judges each metric's day at most once in five minutes, whoever asks. Blocking, and thread-safe.

    Data moves with every event, and the verdict on a day that is over hardly does: so what is remembered here holds for a
    time, while answers hold for a state of the data.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._verdicts: Remembered[Judged | Failed] = Remembered(
            _REMEMBERED, lambda found: int(isinstance(found, Failed) and found.passes), 0
        )
        self._quiet: Remembered[bool] = Remembered(_REMEMBERED, lambda _: 0, 0)

    def judge(self, asker: Asker, metric: Metric, day: date, timezone: str) -> Judged | Failed:
        """Judge a metric's day, or say why that cannot be done."""
        key = self._key(asker.project, asker.digest.hex(), metric.name, day, timezone)
        return self._verdicts.get(key, lambda: self._judge(asker, metric, day, timezone))

    def _judge(self, asker: Asker, metric: Metric, day: date, timezone: str) -> Judged | Failed:
        try:
            days = ask_days(metric, day, timezone, asker.ask, asker.metrics)
            found = days.get(day)
            quiet = (found is None or not found.has_events) and self._is_quiet(asker.project, day, timezone)
        except TallymarkError as error:
            lasts = isinstance(error, RequestRefused) and error.retry_after is None
            return Failed(error.message, passes=not lasts)
        return judge_day(metric, days, day, quiet=quiet)

    def _is_quiet(self, project: str, day: date, timezone: str) -> bool:
        """Tell whether nothing happened in a project on a day."""
        services = self._services

        def look() -> bool:
            period = build_period(day.isoformat(), (day + timedelta(days=1)).isoformat(), "", timezone)
            return find_present(
                services.store, project, period.start, period.end, services.query_limits
            ).quiet

        return self._quiet.get(self._key(project, day, timezone), look)

    def _key(self, project: str, *parts: object) -> Key:
        slot = int(self._services.clock.monotonic() // KEPT_SECONDS)
        return project, msgspec.json.encode([str(part) for part in parts]), slot
