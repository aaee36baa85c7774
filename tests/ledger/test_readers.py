"""Readers of the journal: a cursor moves for its holder alone, and every new event is on one of its lines or before it."""

from __future__ import annotations

from collections import Counter
from contextlib import closing

import pytest

from tallymark.errors import FormatError, TallymarkError
from tallymark.ledger.readers import ReaderLimits, Readers, ReaderTotals

KEY = ("shop", "http", 29_460_240)
NONE: Counter = Counter()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "readers.sqlite"


@pytest.fixture
def readers(path):
    with closing(Readers(path)) as made:
        yield made


def _open(readers, record=0, now_us=1, limits=None):
    return readers.open("exports", 0, lambda: record, now_us, limits)


def test_a_cursor_and_its_lines(readers):
    """What a reader passed is counted with its position; one that is opened again goes on there."""
    state = _open(readers, 5, 100)
    assert (state.record, state.limits) == (5, ReaderLimits())
    state = readers.move(state, 8, Counter({KEY: 30}), NONE, 200)
    state = readers.move(state, 9, Counter({KEY: 3}), Counter({KEY: 2}), 300)
    assert readers.count_totals() == {"exports": ReaderTotals(33, 0, 2)}
    assert readers.count_totals("shop") == {"exports": ReaderTotals(33, 0, 2)}
    assert readers.count_totals("other") == {}
    again = _open(readers, 0, 400)
    assert (again.record, again.moved_us) == (9, 300)


def test_the_latest_holder_alone_moves_it(readers):
    """Whoever opens a reader takes it over: the program that had it moves it no more, and counts nothing."""
    first, second = _open(readers), _open(readers)
    with pytest.raises(TallymarkError, match="reader_superseded"):
        readers.move(first, 5, Counter({KEY: 5}), NONE, 3)
    assert readers.count_totals() == {}
    readers.move(second, 5, Counter({KEY: 5}), NONE, 3)
    with pytest.raises(TallymarkError, match="reader_superseded"):
        readers.move(second, 6, NONE, NONE, 4)


def test_a_reader_that_is_made_again_is_another_one(readers):
    """A program that opened a reader before it was removed does not move the new one, though it is at the same place."""
    old = _open(readers)
    readers.remove("exports")
    _open(readers)
    with pytest.raises(TallymarkError, match="reader_superseded"):
        readers.move(old, 5, NONE, NONE, 2)


def test_what_is_lost(readers):
    """A reader that is left behind is moved, what it has not read is counted, and its holder notices."""
    state = _open(readers)
    ahead = readers.open("ahead", 0, lambda: 8, 1)
    readers.release(0, 7, lambda found: Counter({KEY: 70 + found.record}))
    assert readers.count_totals() == {"exports": ReaderTotals(0, 70)}
    with pytest.raises(TallymarkError, match="reader_superseded"):
        readers.move(state, 3, Counter({KEY: 30}), NONE, 2)
    assert _open(readers).record == 7
    assert readers.move(ahead, 9, NONE, NONE, 2).record == 9


def test_a_new_reader_does_not_begin_with_what_is_going(readers):
    """Records that were given up are not where a reader begins, though they may still be there."""
    readers.release(0, 7, lambda _: NONE)
    assert _open(readers, 3).record == 7
    assert readers.open("later", 0, lambda: 9, 1).record == 9


def test_limits_are_kept_and_changed(readers):
    """Limits that are given count from then on; a reader opened without any keeps those that it has."""
    _open(readers, limits=ReaderLimits(1000, 60))
    assert _open(readers).limits == ReaderLimits(1000, 60)
    assert _open(readers, limits=ReaderLimits(0, 0)).limits == ReaderLimits(0, 0)


def test_removing(readers):
    """A reader that is removed is gone with its lines; the loader's cannot be removed, nor one that is not there."""
    readers.move(_open(readers), 2, Counter({KEY: 5}), NONE, 2)
    readers.remove("exports")
    assert readers.list_states() == []
    assert readers.count_totals() == {}
    for name in ("exports", "store"):
        with pytest.raises(TallymarkError, match="unknown_reader"):
            readers.remove(name)


@pytest.mark.parametrize("name", ["", "store", "Exports", "a b", "-x", "x" * 65, "ü"])
def test_names(readers, name):
    """A name is short and plain, and not the loader's."""
    with pytest.raises(TallymarkError, match="invalid_reader_name"):
        readers.open(name, 0, lambda: 0, 1)


def test_a_newer_format_is_refused(readers, path):
    """Readers that a newer program wrote are refused by name."""
    readers._connection.execute("PRAGMA user_version = 2")
    with pytest.raises(FormatError, match="format 2"):
        Readers(path)
