"""An alert: a metric with a condition, and whom it concerns when that is met.

What is asked is the metric's business; here stands over which time, against what, how long it has to last, and what is
said when nothing arrives. Lengths of time are a whole number and s, m, h, d or w.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from tallymark.plan.lengths import DAY, Length, parse_length, write_length
from tallymark.plan.words import MAX_TAGS, NO_LENGTH_PATTERN, Name, Prose, ShortText, refuse
from tallymark.queries.fields import parse_breakdown
from tallymark.queries.filters import build_filters
from tallymark.queries.period import build_period
from tallymark.queries.question import Filters, Text
from tallymark.queries.sql import Parameters

KIND: Final = "alert"
PLURAL: Final = "alerts"
# Of the alerts by which tallymark watches itself.
OWN_PREFIX: Final = "tallymark_"
_LONGEST: Final = 31 * DAY
# A window's end moves on by a sixtieth of its length at the least: what moved less would say the same again.
_PARTS: Final = 60
# Learnt from other weeks, a band costs as many questions as it has weeks.
_BAND_PARTS: Final = 12
_STEPS: Final = (5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600)

Against = Literal["previous", "yesterday", "last week"]
Severity = Literal["page", "warning", "info"]


class Below(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="is", tag="below"):
    """The figure is below a value."""

    value: float


class Above(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="is", tag="above"):
    """The figure is above a value."""

    value: float


class _Changes(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="is", kw_only=True
):
    """The figure differs from that of an earlier window, in percent of it or by so much."""

    percent: Annotated[float, msgspec.Meta(gt=0)] | None = None
    by: Annotated[float, msgspec.Meta(gt=0)] | None = None
    against: Against = "last week"


class Falls(_Changes, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="falls", kw_only=True):
    """The figure is lower than that of an earlier window by so much, and by more than chance gives."""


class Rises(_Changes, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="rises", kw_only=True):
    """The figure is higher than that of an earlier window by so much, and by more than chance gives."""


class Unusual(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="is",
    tag="unusual",
    kw_only=True,
):
    """The figure is outside what the same weekday and hour of the weeks before give: median and median deviation."""

    side: Literal["both", "below", "above"] = "both"
    weeks: Annotated[int, msgspec.Meta(ge=4, le=26)] = 8
    # How many robust standard deviations on each side are usual. Windows overlap, and each is a chance to be wrong.
    deviations: Annotated[float, msgspec.Meta(ge=2, le=20)] = 4.5


Condition = Below | Above | Falls | Rises | Unusual


class NoData(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What is said when nothing arrives: after how long, and whether that is told to people or only shown."""

    after: Length = msgspec.field(name="for", default="")
    tell: bool = True


class Alert(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A metric that is watched. Over every `window` its figure is held against the condition `when`.

    Met without a break for `for`, it fires. `breakdown` makes one condition into an alert per value, of the `limit`
    largest. A window is judged when it ends, and once more `delay` later, when late events have come.
    """

    name: Name
    metric: Name
    when: Condition
    window: Length
    title: ShortText = ""
    description: Prose = ""
    owner: ShortText = ""
    severity: Severity = "warning"
    tags: Annotated[tuple[Name, ...], msgspec.Meta(max_length=MAX_TAGS)] = ()
    filters: Filters = ()
    breakdown: Annotated[tuple[Text, ...], msgspec.Meta(max_length=3)] = ()
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    # How often a window ends; '' is a sixtieth of its length, a twelfth where the condition is learnt from other weeks.
    every: Annotated[str, msgspec.Meta(pattern=NO_LENGTH_PATTERN)] = ""
    lasting: Annotated[str, msgspec.Meta(pattern=NO_LENGTH_PATTERN)] = msgspec.field(name="for", default="")
    # For how long it has to be well before it is over.
    keep_firing: Annotated[str, msgspec.Meta(pattern=NO_LENGTH_PATTERN)] = ""
    delay: Length = "1m"
    timezone: Annotated[str, msgspec.Meta(max_length=64)] = "UTC"
    # '' is the metric's own.
    minimum_sample: Annotated[int, msgspec.Meta(ge=0, le=10**9)] | None = None
    no_data: NoData = NoData()
    # An intermediate metric explains; whoever wants to be woken by one says so.
    although_intermediate: bool = False
    # Names of receivers, or of rotas; without any, the receivers of the owner.
    tell: Annotated[tuple[Name, ...], msgspec.Meta(max_length=20)] = ()
    repeat: Length = "4h"
    # What to do then: a sentence or an address.
    runbook: ShortText = ""

    def uses(self) -> tuple[str, ...]:
        """Return the name of the metric that is watched."""
        return (self.metric,)

    @property
    def seconds(self) -> int:
        """The length of the window."""
        return parse_length(self.window)

    @property
    def step(self) -> int:
        """How many seconds lie between the ends of two windows."""
        if self.every:
            return parse_length(self.every)
        wanted = self.seconds // (_BAND_PARTS if isinstance(self.when, Unusual) else _PARTS)
        return max((step for step in _STEPS if step <= wanted), default=_STEPS[0])

    @property
    def lasting_seconds(self) -> int:
        """How long the condition has to be met."""
        return parse_length(self.lasting) if self.lasting else 0

    @property
    def keep_firing_seconds(self) -> int:
        """How long all has to be well before trouble is over."""
        return parse_length(self.keep_firing) if self.keep_firing else 0

    @property
    def delay_seconds(self) -> int:
        """How long late events are waited for."""
        return parse_length(self.delay)

    @property
    def no_data_seconds(self) -> int:
        """How long nothing has to arrive; the window's length where that is not said."""
        return parse_length(self.no_data.after or self.window)


def check(alert: Alert, metrics: Mapping[str, Any]) -> None:
    """Raise RequestRefused for an alert that could not be judged; paths in errors are the alert's own."""
    if alert.name.startswith(OWN_PREFIX):
        raise refuse(f"Names that begin with {OWN_PREFIX} are those of tallymark's own alerts.", "name")
    metric = metrics.get(alert.metric)
    if metric is None:
        raise refuse(f"There is no metric {alert.metric!r}.", "metric")
    if metric.role == "intermediate" and not alert.although_intermediate:
        message = f"{alert.metric!r} is an intermediate metric: {metric.caveat} Watch the leaf that it explains, or say although_intermediate: true."
        raise refuse(message, "metric")
    _check_times(alert)
    _check_condition(alert)
    build_filters(alert.filters, "filters", Parameters())
    parse_breakdown(alert.breakdown, ("time", "groups", "figure", "n", "low", "high", "enough"), "breakdown")
    build_period("2026-01-01", "2026-01-02", "", alert.timezone)


def _check_times(alert: Alert) -> None:
    for at, text, longest in (
        ("window", alert.window, _LONGEST), ("every", alert.every, alert.seconds), ("for", alert.lasting, _LONGEST),
        ("keep_firing", alert.keep_firing, _LONGEST), ("delay", alert.delay, DAY), ("no_data.for", alert.no_data.after, _LONGEST), ("repeat", alert.repeat, _LONGEST),
    ):  # fmt: skip
        if text and parse_length(text, at) > longest:
            what = "the window" if at == "every" else write_length(longest)
            raise refuse(f"{text} is longer than {what}.", at)
    if alert.seconds < 10:
        raise refuse(f"A window of {alert.window} is too short to judge. The shortest is 10s.", "window")
    if alert.every and parse_length(alert.every) < _STEPS[0]:
        raise refuse(f"every is {alert.every}; the shortest is {_STEPS[0]}s.", "every")


def _check_condition(alert: Alert) -> None:
    when = alert.when
    if not isinstance(when, Falls | Rises):
        return
    if (when.percent is None) == (when.by is None):
        raise refuse("Give percent, such as 20, or by, such as 0.05: one of them.", "when")
    if isinstance(when, Falls) and when.percent is not None and when.percent > 100:
        raise refuse(f"Nothing falls by {when.percent:g} percent.", "when.percent")
