"""Ask the running server about the flights and compare with pandas, figure by figure.

`check_figures` returns one `Figure` for each; the demo prints them and the tests assert them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flights import ARRIVED, DEPARTED, SCHEDULED, YEAR
from sign_up import PERIOD, PLATFORMS, SERVICE, expected

Ask = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: what was asked, what tallymark answered, what pandas computes."""

    name: str
    answer: Any
    expected: Any

    @property
    def right(self) -> bool:
        """Equal; numbers that are not whole to 12 digits, which is what summing in another order leaves."""
        if isinstance(self.answer, float) and isinstance(self.expected, float):
            return math.isclose(self.answer, self.expected, rel_tol=1e-12)
        return bool(self.answer == self.expected)


def check_figures(ask: Ask, expected: dict[str, Any]) -> Iterator[Figure]:
    """Yield all figures of the flights."""
    yield from _check_counts(ask, expected)
    yield from _check_funnel(ask, expected)
    yield from _check_delays(ask, expected)
    for field in ("carrier", "origin"):
        yield from _check_rates(ask, expected, field)
    yield from _check_days(ask, expected)


def _check_counts(ask: Ask, expected: dict[str, Any]) -> Iterator[Figure]:
    series = [
        {"name": name, "event_name": name, "measure": {"op": "count"}}
        for name in (SCHEDULED, DEPARTED, ARRIVED)
    ]
    answer = ask({"kind": "trend", **YEAR, "series": series})
    for name, value in zip((SCHEDULED, DEPARTED, ARRIVED), answer["rows"][0], strict=True):
        yield Figure(f"events {name}", value, expected["totals"][name])


def _check_funnel(ask: Ask, expected: dict[str, Any]) -> Iterator[Figure]:
    steps = [{"name": name, "event_name": name} for name in (SCHEDULED, DEPARTED, ARRIVED)]
    answer = ask({"kind": "funnel", **YEAR, "by": "session_id", "window": "7d", "steps": steps})
    reached = [row["reached"] for row in _records(answer)]
    yield Figure("funnel", reached, list(expected["totals"].values()))


def _check_delays(ask: Ask, expected: dict[str, Any]) -> Iterator[Figure]:
    for name in (DEPARTED, ARRIVED):
        measures: list[dict[str, Any]] = [{"op": "average", "field": "value"}]
        measures += [{"op": "quantile", "q": q, "field": "value"} for q in expected["quantiles"][name]]
        series = [
            {"name": f"m{place}", "event_name": name, "measure": measure}
            for place, measure in enumerate(measures)
        ]
        mean, *quantiles = ask({"kind": "trend", **YEAR, "series": series})["rows"][0]
        yield Figure(f"mean delay {name}", mean, float(expected["mean"][name]))
        for (q, value), answer in zip(expected["quantiles"][name].items(), quantiles, strict=True):
            yield Figure(f"delay {name} p{q * 100:g}", answer, value)


def _check_rates(ask: Ask, expected: dict[str, Any], field: str) -> Iterator[Figure]:
    answer = ask({**_ratio(), "breakdown": [field], "limit": 1000})
    found = {row[field]: (row["numerator"], row["denominator"]) for row in _records(answer)}
    yield Figure(f"departed/scheduled by {field}", found, expected["rates"][field])


def _check_days(ask: Ask, expected: dict[str, Any]) -> Iterator[Figure]:
    answer = ask({**_ratio(), "interval": "day", "timezone": "UTC"})
    found = {str(row["time"])[:10]: (row["numerator"], row["denominator"]) for row in _records(answer)}
    yield Figure("departed/scheduled by day", found, expected["rates"]["day"])
    rates = {day: departed / scheduled for day, (departed, scheduled) in found.items() if scheduled}
    worst = sorted(rates, key=lambda day: rates[day])[:2]
    yield Figure("the two worst days (the blizzard)", sorted(worst), ["2013-02-08", "2013-02-09"])


def _ratio() -> dict[str, Any]:
    count = {"op": "count"}
    return {
        "kind": "ratio",
        **YEAR,
        "numerator": {"event_name": DEPARTED, "measure": count},
        "denominator": {"event_name": SCHEDULED, "measure": count},
    }


def _records(answer: dict[str, Any]) -> list[dict[str, Any]]:
    names = [column["name"] for column in answer["columns"]]
    return [dict(zip(names, row, strict=True)) for row in answer["rows"]]


def check_sign_up(read: Callable[[str], dict[str, Any]], events: list[dict[str, Any]]) -> Iterator[Figure]:
    """Yield the sign-up's rates by platform, as the metrics of `demo/definitions` give them."""
    wanted = expected(events)
    # Those who sign up while the demo runs are others, whenever it runs.
    filters = json.dumps([{"field": "service_name", "op": "eq", "value": SERVICE}])
    for metric, above, below in (
        ("sms_code_verified", "passed", "shown"),
        ("sms_code_sessions", "passed_sessions", "shown_sessions"),
    ):
        fields = {**PERIOD, "breakdown": "agent_os", "filters": filters}
        answer = read(f"/v1/metrics/{metric}/figures?{urlencode(fields)}")
        found = {row["agent_os"]: (row["figure"], row["n"]) for row in _records(answer["figures"])}
        right = {}
        for platform in PLATFORMS:
            key = ("VERIFY_SMS_CODE", platform)
            right[platform] = (wanted[above][key] / wanted[below][key], wanted[below][key])
        yield Figure(f"metric {metric} by platform", found, right)
