"""Funnels: the engine's answer is that of a search through every possible chain."""

from __future__ import annotations

import itertools
import random
import statistics
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallymark.errors import RequestRefused
from tallymark.queries.ask import Limits
from tallymark.queries.kinds.funnel import parse_window
from tallymark.queries.parse import parse_question
from tallymark.queries.run import run_question

pytestmark = pytest.mark.store

START = datetime(2024, 1, 1, tzinfo=UTC)
YEAR = {"kind": "funnel", "from": "2024-01-01", "to": "2025-01-01", "by": "session_id"}


def best_chain(events, steps, window):
    """Search every chain of (time, mask) events; return its depth and step times, as decision 0005 defines them."""
    ordered = sorted(
        events, key=lambda event: (event[0], event[1] & -event[1], event[1].bit_length(), event[1])
    )
    chains = []
    for depth in range(1, steps + 1):
        for places in itertools.combinations(range(len(ordered)), depth):
            times = [ordered[place][0] for place in places]
            matches = all(ordered[place][1] >> step & 1 for step, place in enumerate(places))
            if matches and times[-1] - times[0] <= window:
                chains.append((depth, places, times))
    if not chains:
        return 0, []
    depth = max(chain[0] for chain in chains)
    deepest = [chain for chain in chains if chain[0] == depth]
    first_end = min(places[-1] for _, places, _ in deepest)
    ending = [times for _, places, times in deepest if places[-1] == first_end]
    latest = max(times[0] for times in ending)
    return depth, min(times for times in ending if times[0] == latest)


def best_chain_of_many(events, steps, window):
    """Return what `best_chain` returns, in time for hundreds of events: one walk with a chain of each length."""
    ordered = sorted(
        events, key=lambda event: (event[0], event[1] & -event[1], event[1].bit_length(), event[1])
    )
    # For each length the place at which the chain began which began last, and where the first one was complete.
    begun = [None] * (steps + 1)
    complete = [None] * (steps + 1)
    for place, (time, mask) in enumerate(ordered):
        for step in range(steps, 0, -1):
            start = place if step == 1 else begun[step - 1]
            if mask >> (step - 1) & 1 and start is not None and time - ordered[start][0] <= window:
                begun[step] = start
                if complete[step] is None:
                    complete[step] = (start, place)
    depth = max((step for step in range(1, steps + 1) if complete[step] is not None), default=0)
    if not depth:
        return 0, []
    start, end = complete[depth]
    # Of events of one instant any may have been the beginning; the first leaves the most to come.
    place = next(one for one, (time, mask) in enumerate(ordered) if time == ordered[start][0] and mask & 1)
    times = [ordered[place][0]]
    for step in range(2, depth + 1):
        place = next(one for one in range(place + 1, end + 1) if ordered[one][1] >> (step - 1) & 1)
        times.append(ordered[place][0])
    return depth, times


def deepest_in_any_order(events, steps, window):
    """Return how deep a person got when events of one instant may be taken in any order."""
    found = 0
    for depth in range(1, steps + 1):
        for chosen in itertools.permutations(events, depth):
            times = [time for time, _ in chosen]
            matches = all(mask >> step & 1 for step, (_, mask) in enumerate(chosen))
            if matches and times == sorted(times) and times[-1] - times[0] <= window:
                found = depth
                break
    return found


def expected_rows(people, steps, window, search=best_chain):
    """Return (reached, median) per step for people given as lists of (second, mask)."""
    chains = [search(events, steps, window) for events in people]
    rows = []
    for step in range(1, steps + 1):
        reached = [times for depth, times in chains if depth >= step]
        median = (
            statistics.median(t[step - 1] - t[step - 2] for t in reached) if step > 1 and reached else None
        )
        rows.append((len(reached), median))
    return rows


def insert_people(insert, people):
    """Insert one event per (second, mask); the mask's bits are attributes of their own."""
    events = [
        {
            "event_time": (START + timedelta(seconds=second)).isoformat(),
            "session_id": f"s{number}",
            "event_name": f"only{mask.bit_length()}" if mask & (mask - 1) == 0 else "several",
            "attributes": {f"m{bit}": True for bit in range(4) if mask >> bit & 1},
        }
        for number, person in enumerate(people)
        for second, mask in person
    ]
    return insert([*events, {"event_name": "noise", "session_id": "s0"}])


engine_property = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
seconds = st.integers(0, 6)
one_step = st.tuples(seconds, st.sampled_from([1, 2, 4]))
any_step = st.tuples(seconds, st.integers(1, 7))


@engine_property
@given(people=st.lists(st.lists(one_step, max_size=7), min_size=1, max_size=12), window=st.integers(1, 7))
def test_separate_steps_are_counted_as_by_hand(insert, ask, people, window):
    """With steps of different events: depth, ties in any order, windows and medians equal a search through all."""
    project = insert_people(insert, people)
    steps = [{"event_name": f"only{step}"} for step in (1, 2, 3)]
    answer = ask(project, YEAR, window=f"{window}s", steps=steps)
    wanted = expected_rows(people, 3, window)
    assert [(row[2], row[5]) for row in answer.rows] == wanted or (not answer.rows and wanted[0][0] == 0)
    depths = [deepest_in_any_order(events, 3, window) for events in people]
    assert [reached for reached, _ in wanted] == [
        sum(depth >= step for depth in depths) for step in (1, 2, 3)
    ]


@engine_property
@given(people=st.lists(st.lists(any_step, max_size=6), min_size=1, max_size=12), window=st.integers(1, 7))
def test_steps_that_share_events_are_counted_as_by_hand(insert, ask, people, window):
    """When one event can be several steps it serves one of them, and the answer equals a search through all."""
    events = [
        {
            "event_time": (START + timedelta(seconds=second)).isoformat(),
            "session_id": f"s{number}",
            "attributes": {f"m{bit}": True for bit in range(3) if mask >> bit & 1},
        }
        for number, person in enumerate(people)
        for second, mask in person
    ]
    project = insert([*events, {"event_name": "noise", "session_id": "s0"}])
    steps = [
        {"event_name": "seen", "filters": [{"field": f"m{bit}", "op": "eq", "value": True}]}
        for bit in range(3)
    ]
    answer = ask(project, YEAR, window=f"{window}s", steps=steps)
    wanted = expected_rows(people, 3, window)
    assert [(row[2], row[5]) for row in answer.rows] == wanted or (not answer.rows and wanted[0][0] == 0)


@given(person=st.lists(any_step, max_size=8), window=st.integers(1, 7))
def test_the_fast_reference_finds_what_the_search_finds(person, window):
    """The walk that long sessions are compared with gives the chain that a search through all gives."""
    assert best_chain_of_many(person, 3, window) == best_chain(person, 3, window)


def random_people(generator, masks, spread):
    """Return sessions of 1 to 200 events, each one of the masks, `spread` seconds apart on average."""
    return [
        [(generator.randrange(1 + int(length * spread)), generator.choice(masks)) for _ in range(length)]
        for length in (1, 2, 3, 4, 5, 8, 13, 40, 80, 120, 200)
        for _ in range(3)
    ]


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
@pytest.mark.parametrize("spread", [0.3, 20])
def test_long_sessions_are_counted_exactly(insert, ask, steps, spread):
    """Sessions of up to 200 events that repeat separate steps: depths and medians are those of the definition."""
    people = random_people(random.Random(f"{steps} {spread}"), [1, 2, 4, 8], spread)
    project = insert_people(insert, people)
    asked = [{"event_name": f"only{step + 1}"} for step in range(steps)]
    of_steps = [[event for event in person if event[1] < 1 << steps] for person in people]
    for window in (1, 10, 60, 86_400):
        answer = ask(project, YEAR, window=f"{window}s", steps=asked)
        wanted = expected_rows(of_steps, steps, window, best_chain_of_many)
        assert [(row[2], row[5]) for row in answer.rows] == wanted


@pytest.mark.parametrize("steps", [2, 3, 4])
@pytest.mark.parametrize("spread", [0.3, 20])
def test_long_sessions_of_shared_events_are_counted_exactly(insert, ask, steps, spread):
    """The same where one event can be several steps, and serves one of them."""
    people = random_people(random.Random(f"shared {steps} {spread}"), list(range(1, 1 << steps)), spread)
    events = [
        {
            "event_time": (START + timedelta(seconds=second)).isoformat(),
            "session_id": f"s{number}",
            "attributes": {f"m{bit}": True for bit in range(steps) if mask >> bit & 1},
        }
        for number, person in enumerate(people)
        for second, mask in person
    ]
    project = insert(events)
    asked = [
        {"event_name": "seen", "filters": [{"field": f"m{bit}", "op": "eq", "value": True}]}
        for bit in range(steps)
    ]
    for window in (1, 10, 60, 86_400):
        answer = ask(project, YEAR, window=f"{window}s", steps=asked)
        wanted = expected_rows(people, steps, window, best_chain_of_many)
        assert [(row[2], row[5]) for row in answer.rows] == wanted


def test_repeated_steps_need_little_memory(insert, store):
    """Two thousand sessions of a hundred events, with six steps, are answered within 64 MiB."""
    generator = random.Random(6)
    events = [
        {
            "event_name": f"n{generator.randrange(6)}",
            "session_id": f"s{number % 2_000}",
            "event_time": (START + timedelta(seconds=number)).isoformat(),
        }
        for number in range(200_000)
    ]
    steps = [{"event_name": f"n{step}"} for step in range(6)]
    question = parse_question({**YEAR, "window": "30d", "steps": steps})
    answer = run_question(question, store, insert(events), Limits(memory_bytes=64 * 1024**2))
    assert [row[2] for row in answer.rows] == [2_000] * 5 + [1_999]


def test_one_event_is_not_two_steps(insert, ask):
    """A funnel of the same event twice needs two of them."""
    project = insert([{"session_id": "once"}, *[{"session_id": "twice"}] * 2])
    answer = ask(
        project, YEAR, window="1h", steps=[{"event_name": "seen"}, {"event_name": "seen", "name": "again"}]
    )
    assert [(row[1], row[2]) for row in answer.rows] == [("seen", 2), ("again", 1)]


def test_the_window_is_inclusive_and_counts_from_the_first_step(insert, ask):
    """A step exactly at the window's end counts, a microsecond later it does not."""
    first = {"event_name": "a", "event_time": "2024-01-01T00:00:00Z"}
    project = insert(
        [
            {**first, "session_id": "in"},
            {"event_name": "b", "event_time": "2024-01-01T01:00:00Z", "session_id": "in"},
            {**first, "session_id": "out"},
            {"event_name": "b", "event_time": "2024-01-01T01:00:00.000001Z", "session_id": "out"},
        ]
    )
    answer = ask(project, YEAR, window="1h", steps=[{"event_name": "a"}, {"event_name": "b"}])
    assert answer.rows == [[1, "a", 2, 1.0, 1.0, None], [2, "b", 1, 0.5, 0.5, 3600]]


def test_events_without_the_by_field_take_no_part(insert, ask):
    """An empty session id is nobody, and not one person with all the rest of the events."""
    project = insert([{"event_name": "a"}, {"event_name": "b"}, {"event_name": "a", "session_id": "s"}])
    answer = ask(project, YEAR, window="1h", steps=[{"event_name": "a"}, {"event_name": "b"}])
    assert [row[2] for row in answer.rows] == [1, 0]


def test_a_person_can_be_told_by_an_attribute(insert, ask):
    """`by` takes an attribute as well as a core field."""
    events = [{"event_name": name, "attributes": {"order": "o1"}} for name in ("a", "b")]
    project = insert([*events, {"event_name": "b", "attributes": {"order": "o2"}}])
    answer = ask(
        project, YEAR, by="attributes.order", window="1h", steps=[{"event_name": "a"}, {"event_name": "b"}]
    )
    assert [row[2] for row in answer.rows] == [1, 1]


def test_the_breakdown_is_the_first_steps_value(insert, ask):
    """A later step with another value stays with the value at which the person began; missing is null."""
    project = insert(
        [
            {"event_name": "a", "session_id": "1", "attributes": {"os": "iOS"}},
            {"event_name": "b", "session_id": "1", "attributes": {"os": "Web"}},
            {"event_name": "a", "session_id": "2", "attributes": {"os": "iOS"}},
            {"event_name": "a", "session_id": "3"},
            {"event_name": "b", "session_id": "3"},
        ]
    )
    steps = [{"event_name": "a"}, {"event_name": "b"}]
    answer = ask(project, YEAR, window="1h", steps=steps, breakdown=["os"])
    assert [row[:4] for row in answer.rows] == [
        ["iOS", 1, "a", 2],
        ["iOS", 2, "b", 1],
        [None, 1, "a", 1],
        [None, 2, "b", 1],
    ]
    assert [column.name for column in answer.columns][:2] == ["os", "step"]


def test_the_values_come_from_the_attempt_that_counts(insert, ask):
    """Somebody who tried twice is counted once, with the value and the times of the attempt that went furthest."""
    project = insert(
        [
            {
                "event_name": "a",
                "session_id": "1",
                "event_time": "2024-01-01T00:00:00Z",
                "attributes": {"os": "Web"},
            },
            {
                "event_name": "a",
                "session_id": "1",
                "event_time": "2024-01-02T00:00:00Z",
                "attributes": {"os": "iOS"},
            },
            {"event_name": "b", "session_id": "1", "event_time": "2024-01-02T00:00:30Z"},
        ]
    )
    steps = [{"event_name": "a"}, {"event_name": "b"}]
    answer = ask(project, YEAR, window="7d", steps=steps, breakdown=["os"])
    assert answer.rows == [["iOS", 1, "a", 1, 1.0, 1.0, None], ["iOS", 2, "b", 1, 1.0, 1.0, 30]]


def test_groups_beyond_the_limit_are_named(insert, ask):
    """A breakdown shows the largest groups and says how many people the others hold."""
    project = insert(
        [
            {"event_name": "a", "session_id": f"{n}", "attributes": {"os": "x" if n < 3 else f"y{n}"}}
            for n in range(6)
        ]
    )
    answer = ask(project, YEAR, window="1h", steps=[{"event_name": "a"}], breakdown=["os"], limit=1)
    assert [row[0] for row in answer.rows] == ["x"]
    assert answer.notes == [
        "The 1 largest of 4 groups are shown; the other 3 hold 3 of 6 that reached the first step."
    ]


def test_ten_steps_are_answered(insert, ask):
    """The longest funnel works, with separate steps and with steps of one event."""
    names = [f"step{n}" for n in range(10)]
    events = [
        {
            "event_name": name,
            "session_id": "s",
            "event_time": f"2024-01-01T00:00:{n:02d}Z",
            "attributes": {"n": n},
        }
        for n, name in enumerate(names)
    ]
    one_name = [{**event, "event_name": "seen"} for event in events]
    project = insert([*events, *one_name, {**events[0], "event_time": "2024-01-01T00:00:59Z"}])
    separate = ask(project, YEAR, window="1m", steps=[{"event_name": name} for name in names])
    assert [(row[2], row[5]) for row in separate.rows] == [(1, None), *[(1, 1)] * 9]
    filters = [[{"field": "n", "op": "eq", "value": n}] for n in range(10)]
    shared = ask(
        project, YEAR, window="1m", steps=[{"event_name": "seen", "filters": one} for one in filters]
    )
    assert [(row[2], row[5]) for row in shared.rows] == [(1, None), *[(1, 1)] * 9]


def test_a_long_history_of_one_person_is_answered(insert, ask):
    """Twenty thousand events of one session take one answer, not one per pair."""
    events = [
        {
            "event_name": "ab"[n % 2],
            "session_id": "s",
            "event_time": (START + timedelta(minutes=n)).isoformat(),
        }
        for n in range(20_000)
    ]
    answer = ask(insert(events), YEAR, window="30m", steps=[{"event_name": one} for one in "aba"])
    assert [(row[2], row[5]) for row in answer.rows] == [(1, None), (1, 60), (1, 60)]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1_800), ("24h", 86_400), ("7d", 604_800), ("2w", 1_209_600)]
)
def test_windows_are_a_number_and_a_unit(text, seconds):
    """s, m, h, d and w are seconds, minutes, hours, days and weeks."""
    assert parse_window(text) == seconds


@pytest.mark.parametrize("text", ["", "7", "0d", "7 d", "-1d", "1y", "9999w", "7d; DROP TABLE events", "٣d"])
def test_other_windows_are_refused(text):
    """What is no window is refused with what is allowed."""
    with pytest.raises(RequestRefused, match="30m, 24h, 7d") as caught:
        parse_window(text)
    assert caught.value.at == "window"


@pytest.mark.parametrize("by", ["value", "event_time", "performer_groups", "sketch"])
def test_people_are_told_by_a_text(by):
    """A number, a time or a list cannot say who it was."""
    with pytest.raises(RequestRefused) as caught:
        parse_question({**YEAR, "by": by, "window": "1h", "steps": [{"event_name": "a"}]})
    assert caught.value.at == "by"
