"""What every statement is made of: typed parameters, and the one function that limits rows to a project and a time.

Comes in: values and conditions. Goes out: a `Statement` for the store. The kinds, `names` and `events` build here;
no text of a user enters a statement except as a parameter or as an identifier quoted by `fields`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tallymark.queries.fields import LOCAL_SECONDS
from tallymark.queries.period import ALWAYS, Period
from tallymark.store.schema import EVENTS_TABLE

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with `{name:Type}` placeholders, and the values for them.

    `denormals` says that numbers beyond the doubles come as texts, `inf`, `-inf` and `nan`; else they come as null, as what
    there is no figure of.
    """

    sql: str
    parameters: dict[str, Any]
    denormals: bool = False


@dataclass(slots=True)
class Parameters:
    """Collects the values of one statement. Most methods return the placeholder that stands for the value.

    `local_seconds` gives the SQL of an event's local time, for fields that are computed of it; without it that is UTC.
    """

    values: dict[str, Any] = field(default_factory=dict)
    local_seconds: Callable[[], str] = ALWAYS.local_sql

    def statement(self, sql: str) -> Statement:
        """Return the finished statement."""
        if LOCAL_SECONDS in sql:
            sql = sql.replace(LOCAL_SECONDS, self.local_seconds())
        return Statement(sql, self.values)

    def add(self, value: Any, engine_type: str) -> str:
        """Add a value of an engine type."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"{{{name}:{engine_type}}}"

    def text(self, value: str) -> str:
        """Add a text."""
        return self.add(value, "String")

    def texts(self, values: Iterable[str]) -> str:
        """Add a list of texts; for the right side of IN."""
        return self.add(list(values), "Array(String)")

    def number(self, value: Any) -> str:
        """Add a number; integers fit 64 bits and stay exact."""
        if isinstance(value, float):
            return self.add(value, "Float64")
        return self.add(value, "Int64" if value < 2**63 else "UInt64")

    def time(self, value: datetime) -> str:
        """Add a time, in microseconds."""
        microseconds = (value - _EPOCH) // timedelta(microseconds=1)
        return f"fromUnixTimestamp64Micro({self.add(microseconds, 'Int64')}, 'UTC')"


def build_scope(
    parameters: Parameters,
    project: str,
    period: Period | None = None,
    event_names: Sequence[str] = (),
    conditions: Sequence[str] = (),
) -> str:
    """Build `FROM ... WHERE ...`: the rows of one project, and of a period and of some events where given.

    Every statement of this room reads through here, so none can read another project's rows. The conditions
    follow the table's sorting key (project, event_name, event_time), so only what can match is read.
    """
    where = [f"project = {parameters.text(project)}"]
    if event_names:
        names = [parameters.text(name) for name in dict.fromkeys(event_names)]
        where.append(f"event_name IN ({', '.join(names)})" if len(names) > 1 else f"event_name = {names[0]}")
    if period is not None:
        where.append(f"event_time >= {parameters.time(period.start)}")
        where.append(f"event_time < {parameters.time(period.end)}")
    return f"FROM {EVENTS_TABLE}\nWHERE {' AND '.join([*where, *conditions])}"
