"""A rota: who is on call when, and who is told next when nobody answers.

Its people are receivers, one after another, a turn each. An alert tells a rota by its name, as it tells a receiver.
"""

from __future__ import annotations

from collections.abc import Container
from datetime import datetime, timedelta
from typing import Annotated, Final

import msgspec

from tallymark.plan.lengths import DAY, Length, parse_length, write_length
from tallymark.plan.words import MAX_TAGS, MOMENT_PATTERN, Name, Prose, ShortText, refuse
from tallymark.queries.local_time import resolve_local
from tallymark.queries.period import build_period, parse_zone

KIND: Final = "rota"
PLURAL: Final = "rotas"
# Among those who are told after a while: whoever has the next turn.
NEXT: Final = "next"
_LONGEST_TURN: Final = 91 * DAY
_LONGEST_WAIT: Final = 7 * DAY
_EARLIEST, _LATEST = 2000, 2200


class Escalation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Who is told as well when trouble has lasted for `after` and nobody acknowledged it: receivers, or `next`."""

    after: Length
    tell: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1, max_length=20)] = (NEXT,)


class Rota(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Who is on call: the receivers of `people`, a `turn` each, the first from `begins` on, then all over again."""

    name: Name
    people: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1, max_length=50)]
    # A local day, and the time at which turns change; midnight without one.
    begins: Annotated[str, msgspec.Meta(pattern=MOMENT_PATTERN)]
    title: ShortText = ""
    description: Prose = ""
    owner: ShortText = ""
    tags: Annotated[tuple[Name, ...], msgspec.Meta(max_length=MAX_TAGS)] = ()
    turn: Length = "1w"
    timezone: Annotated[str, msgspec.Meta(max_length=64)] = "UTC"
    escalate: Annotated[tuple[Escalation, ...], msgspec.Meta(max_length=10)] = ()

    def uses(self) -> tuple[str, ...]:
        """Return the metrics that it stands on: none."""
        return ()

    def find_turn(self, now: datetime) -> tuple[str, datetime]:
        """Return who is on call at a time, and until when. Before the first turn it is the first already.

        Turns change at the same time on the wall, whatever the clocks do.
        """
        number, end = self._count_turns(now)
        return self.people[number % len(self.people)], end

    def find_told(self, now: datetime, lasting: timedelta | None, known: Container[str]) -> list[str]:
        """Return who is to know of trouble: names of receivers.

        `lasting` is for how long nobody has answered, None where somebody has. Whoever is none of the `known` receivers is
        passed over for the next one who is.
        """
        number, _ = self._count_turns(now)
        place = number % len(self.people)
        turns = [one for one in (*self.people[place:], *self.people[:place]) if one in known] or [
            self.people[place]
        ]
        told = turns[:1]
        for one in self.escalate:
            if lasting is not None and lasting >= timedelta(seconds=parse_length(one.after)):
                told += [turns[1 % len(turns)] if name == NEXT else name for name in one.tell]
        return list(dict.fromkeys(told))

    def _count_turns(self, now: datetime) -> tuple[int, datetime]:
        """Return how many turns are over, and the end of the present one."""
        zone = parse_zone(self.timezone)
        first = datetime.fromisoformat(self.begins)
        length = timedelta(seconds=parse_length(self.turn))

        def begin(number: int) -> datetime:
            return resolve_local(first + number * length, zone)

        number = (now.astimezone(zone).replace(tzinfo=None) - first) // length
        # Within the hour that clocks repeat the wall alone does not tell.
        number += (now >= begin(number + 1)) - (now < begin(number))
        return max(0, number), begin(max(0, number) + 1)


def check(rota: Rota) -> None:
    """Raise RequestRefused for a rota that nobody could follow; paths in errors are its own."""
    if NEXT in rota.people:
        raise refuse(f"{NEXT!r} is whoever has the next turn, and no receiver's name.", "people")
    if len(set(rota.people)) < len(rota.people):
        raise refuse("Each of the people stands once.", "people")
    try:
        begins = datetime.fromisoformat(rota.begins)
    except ValueError:
        raise refuse(f"{rota.begins} is no day of the calendar, or no time of a day.", "begins") from None
    if not _EARLIEST <= begins.year <= _LATEST:
        raise refuse(f"{rota.begins} is too far away. Turns begin in {_EARLIEST} to {_LATEST}.", "begins")
    turn = parse_length(rota.turn, "turn")
    if turn % DAY or turn > _LONGEST_TURN:
        raise refuse(
            f"A turn is whole days, at most {write_length(_LONGEST_TURN)}; it is {rota.turn}.", "turn"
        )
    waits = [parse_length(one.after, f"escalate[{place}].after") for place, one in enumerate(rota.escalate)]
    for place, wait in enumerate(waits):
        if wait > _LONGEST_WAIT:
            message = f"{rota.escalate[place].after} is longer than {write_length(_LONGEST_WAIT)}."
            raise refuse(message, f"escalate[{place}].after")
        if place and wait <= waits[place - 1]:
            raise refuse("Each step comes later than the one before it.", f"escalate[{place}].after")
    build_period("2026-01-01", "2026-01-02", "", rota.timezone)
