"""What needs a person: which of their metrics are out of their usual range, and which nobody looks at.

Comes in: a project and a person. Goes out: a `Needs`, which the home page shows. Metrics are judged one after the other: so
they take the place of one question among all that run, however many there are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

from tallymark.catalog.definitions import Definition
from tallymark.metrics.digits import EXACT, write_figure, write_range
from tallymark.metrics.figures import Figure
from tallymark.metrics.usual import Band, Judged, News, find_last_day, find_news
from tallymark.plan.changes import collect_objects
from tallymark.plan.kinds.metric import Count, Metric, Unique
from tallymark.plan.objects import Objects
from tallymark.plan.references import list_used
from tallymark.web.asking import open_asker
from tallymark.web.judging import Failed, Judging
from tallymark.web.services import Services
from tallymark.web.shapes import find_share

# So many metrics are judged for a person, and so long; what remains is judged the next time.
MOST: Final = 50
PATIENCE_SECONDS: Final = 10.0
_ORDER: Final[tuple[News, ...]] = ("bad", "neither", "good")
_STRIP: Final = 100
_STRIP_EDGE: Final = 6


@dataclass(frozen=True, slots=True)
class Owner:
    """Somebody who owns metrics. `mark` stands for the name in forms, which change line breaks and the like."""

    name: str
    mark: str
    is_followed: bool
    is_person: bool


@dataclass(frozen=True, slots=True)
class Named:
    """A metric in a line of others, with a few words besides."""

    name: str
    title: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class Out:
    """A metric that is out of its usual range; `strip` has the places of the band's ends and the figure, 0 to 100."""

    name: str
    title: str
    owner: str
    verdict: str
    news: News
    figure: str
    usual: str
    weeks: int
    strip: tuple[int, int, int]
    distance: float


@dataclass(slots=True)
class Needs:
    """What is shown. `leaves` are the person's metrics that can be judged; `later` of them had to wait."""

    day: date
    timezone: str
    defined: int
    mine: int
    leaves: int
    owners: list[Owner]
    later: int = 0
    usual: int = 0
    out: list[Out] = field(default_factory=list)
    no_data: list[Named] = field(default_factory=list)
    silent: list[Named] = field(default_factory=list)
    too_new: list[Named] = field(default_factory=list)
    failed: dict[str, list[Named]] = field(default_factory=dict)
    unused: list[Named] = field(default_factory=list)

    @property
    def judged(self) -> int:
        """How many metrics were judged."""
        return min(self.leaves, MOST) - self.later

    @property
    def day_words(self) -> str:
        """The judged day: Mon 12 May."""
        return write_day(self.day)

    @property
    def weekday(self) -> str:
        """The judged day's name: Monday."""
        return f"{self.day:%A}"

    @property
    def address(self) -> dict[str, str]:
        """What the address of a metric's page says of the judged day."""
        after = self.day + timedelta(days=1)
        zone = "" if self.timezone == "UTC" else self.timezone
        return {"from": self.day.isoformat(), "to": after.isoformat(), "tz": zone, "compare": "week"}

    @property
    def state(self) -> str:
        """The state by the name of its sign, '' for none."""
        if any(one.news == "bad" for one in self.out):
            return "bad"
        return "waits" if self.out else "good" if self.usual else ""

    @property
    def sentence(self) -> str:
        """How it stands, in one sentence; '' where nothing was judged."""
        count, out, usual = self.judged, len(self.out), self.usual
        if count == 0:
            return ""
        if self.leaves == 1:
            where = "out of" if out else "in" if usual else ""
            return (
                f"Your one metric is {where} its usual range."
                if where
                else "Your one metric cannot be judged."
            )
        whole = f"your {count:,} metrics" if count == self.leaves else f"the {count:,} metrics looked at"
        if out:
            return f"{out:,} of {whole} {'is out of its' if out == 1 else 'are out of their'} usual range."
        if usual == count:
            of_all = f"All {count:,} of your metrics" if count > 2 else "Both your metrics"
            subject = of_all if count == self.leaves else f"All {count:,} metrics looked at"
            return f"{subject} are in their usual range."
        if usual:
            return f"{usual:,} of {whole} {'is in its' if usual == 1 else 'are in their'} usual range, none is out of it."
        return f"None of {whole} can be judged."


def write_day(day: date) -> str:
    """Write a day of these weeks: Mon 12 May."""
    return f"{day:%a} {day.day} {day:%b}"


def gather_needs(
    services: Services, judging: Judging, project: str, person: str, timezone: str, unused_days: int
) -> Needs:
    """Judge a person's metrics; blocking. Raises RequestRefused for a time zone that there is not."""
    now = services.clock.now()
    day = find_last_day(now, timezone)
    present = services.definitions.list(project)
    objects = collect_objects(present)
    metrics = list(objects["metric"].values())
    owners = list_owners(metrics, services.follows.list(person, project), person)
    owned = {one.name for one in owners if one.is_followed or one.is_person}
    mine = [metric for metric in metrics if metric.owner in owned]
    leaves = [metric for metric in mine if metric.role == "leaf"]
    needs = Needs(day, timezone, len(metrics), len(mine), len(leaves), owners)
    since = now - timedelta(days=unused_days)
    looked = services.definitions.list_uses(project, "metric", since.date())
    unused = find_unused(present, objects, looked, since)
    needs.unused = [
        Named(metric.name, metric.title or metric.name) for metric in mine if metric.name in unused
    ]
    asker = open_asker(services, project)
    until = services.clock.monotonic() + PATIENCE_SECONDS
    for metric in leaves[:MOST]:
        if services.clock.monotonic() > until:
            needs.later += 1
        else:
            found = judging.judge(asker, metric, day, timezone)
            add_verdict(needs, metric, found)
    needs.out.sort(key=lambda one: (_ORDER.index(one.news), -one.distance, one.name))
    return needs


def list_owners(metrics: Iterable[Metric], followed: frozenset[str], person: str) -> list[Owner]:
    """Return all owners of a project's metrics, and whom the person follows though nothing is theirs at present."""
    names = {metric.owner for metric in metrics if metric.owner.strip()} | followed
    return [
        Owner(name, mark_owner(name), name in followed, name.strip().casefold() == person.strip().casefold())
        for name in sorted(names, key=lambda name: (name.casefold(), name))
    ]


def mark_owner(name: str) -> str:
    """Return what stands for an owner in the form."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def follow_owners(services: Services, project: str, person: str, marks: Iterable[str]) -> None:
    """Let a person follow the owners with these marks; blocking. What no owner has any more is left out."""
    chosen = set(marks)
    metrics = collect_objects(services.definitions.list(project, "metric"))["metric"].values()
    owners = list_owners(metrics, services.follows.list(person, project), person)
    services.follows.replace(person, project, [one.name for one in owners if one.mark in chosen])


def find_unused(
    present: Iterable[Definition], objects: Objects, looked: Container[str], since: datetime
) -> frozenset[str]:
    """Return the metrics that nobody looked at or changed since then, that stand in nothing, and that Prometheus does not get.

    `looked` are those that somebody looked at.
    """
    used = list_used(objects)
    changed = {one.name for one in present if one.kind == "metric" and one.changed_at >= since}
    return frozenset(
        name
        for name, metric in objects["metric"].items()
        if not (name in looked or name in changed or name in used or metric.scrape)
    )


def add_verdict(needs: Needs, metric: Metric, found: Judged | Failed) -> None:
    """Put a metric where it belongs."""
    named = Named(metric.name, metric.title or metric.name)
    if isinstance(found, Failed):
        needs.failed.setdefault(found.message, []).append(named)
    elif found.verdict == "usual":
        needs.usual += 1
    elif found.verdict == "too little history":
        weeks = f"{found.weeks} {'week' if found.weeks == 1 else 'weeks'} seen"
        needs.too_new.append(Named(named.name, named.title, weeks))
    elif found.band is not None:
        needs.out.append(_describe(metric, found, found.band))
    elif found.last is None:
        needs.silent.append(named)
    else:
        needs.no_data.append(Named(named.name, named.title, _say_no_data(metric, found, found.last)))


def _say_no_data(metric: Metric, found: Judged, last: date) -> str:
    if found.of_day.has_events and not found.of_day.enough:
        n = found.of_day.figure.n or 0
        if n >= metric.minimum_sample:
            return "a part has too few events"
        return f"{n:,} of the {metric.minimum_sample:,} that it needs"
    return "" if last == found.day else f"since {write_day(last)}"


def _describe(metric: Metric, found: Judged, band: Band) -> Out:
    figure, unit = found.of_day.figure, metric.figure_unit
    value = float(figure.value or 0)
    reach = (band.high - band.low) / 2
    news = find_news(found.verdict, metric.better)
    counted = isinstance(metric, Count | Unique)
    return Out(
        metric.name,
        metric.title or metric.name,
        metric.owner,
        found.verdict,
        news,
        _write(figure, band, unit, exact=found.of_day.exact),
        write_range(band.low, band.high, unit, whole=counted),
        band.count,
        _place(band, value),
        abs(value - band.middle) / reach if reach else 0.0,
    )


def _write(figure: Figure, band: Band, unit: str, *, exact: bool) -> str:
    """Write a figure with the digits of its interval; one that has none, as finely as the range beside it."""
    low, high, value = figure.low, figure.high, figure.value
    sample = EXACT if exact else None
    if value is not None and low is None and not exact:
        reach = (band.high - band.low) / 20
        low, high = value - reach, value + reach
    return write_figure(value, low, high, unit, sample)


def _place(band: Band, value: float) -> tuple[int, int, int]:
    """Return where the band's ends and the figure stand on a strip from 0 to 100."""
    first, last = min(band.low, value), max(band.high, value)
    room = _STRIP - 2 * _STRIP_EDGE
    low, high, at = (
        round(_STRIP_EDGE + find_share(one, first, last) * room) for one in (band.low, band.high, value)
    )
    return low, high, at
