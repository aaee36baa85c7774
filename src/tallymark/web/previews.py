"""Alerts replayed over the past of a project, saved or not. Blocking; may be used from several threads."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from tallymark.alerts.preview import MOST_WINDOWS, Preview, replay
from tallymark.alerts.questions import Questions
from tallymark.errors import RequestRefused
from tallymark.plan.kinds.alert import Alert
from tallymark.plan.kinds.metric import Metric
from tallymark.queries.events import find_present
from tallymark.web.services import Services

# What is replayed where nobody says which time.
LAST_WEEK: Final = timedelta(days=7)


def open_questions(services: Services, project: str, metrics: Mapping[str, Metric]) -> Questions:
    """Return what answers questions about the windows of a project's alerts, for one page or answer."""
    return Questions(
        metrics,
        lambda question: services.answer(question, project, explain=False),
        lambda window: find_present(services.store, project, window.start, window.end, services.query_limits),
    )


def preview_alert(
    services: Services,
    project: str,
    alert: Alert,
    metrics: Mapping[str, Metric],
    start: datetime,
    end: datetime,
    most: int = MOST_WINDOWS,
) -> Preview:
    """Replay an alert, which need not be saved, over a time; raises RequestRefused as questions do.

    Of more than `most` windows it looks at every second, fifth, ... one.
    """
    # What is to come has not happened, which is not the same as no data.
    end = min(end, services.clock.now())
    metric = metrics.get(alert.metric)
    if metric is None:
        raise RequestRefused("not_found", f"There is no metric {alert.metric!r}.", at="metric")

    questions = open_questions(services, project, metrics)
    return replay(alert, metric, start, end, questions, services.desk.pool, most)
