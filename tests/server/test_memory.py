"""How much memory store and questions get where no setting says it."""

from __future__ import annotations

import pytest

from tallymark.server.config import Config
from tallymark.server.memory import choose_query_memory, choose_store_memory, find_memory

GIB = 1024**3


@pytest.mark.parametrize(("machine", "store"), [(1, 1), (2, 1), (8, 2), (16, 4), (64, 4)])
def test_the_store_gets_a_quarter_between_bounds(machine, store):
    """Small machines keep room for others, large ones do not give away what no question needs."""
    assert choose_store_memory(machine * GIB) == store * GIB
    assert choose_query_memory(store * GIB) == store * GIB * 3 // 4


def test_a_container_counts_as_the_machine(tmp_path):
    """The smallest limit of all holds; a file that is missing, or has a word in it, is none."""
    whole = find_memory((tmp_path / "none",))
    limited, unlimited = tmp_path / "limited", tmp_path / "unlimited"
    limited.write_text("1048576\n")
    unlimited.write_text("max\n")
    assert whole > GIB / 4
    assert find_memory((unlimited, limited)) == 1048576
    assert find_memory((unlimited,)) == whole


def test_settings_hold_and_the_rest_follows():
    """What a setting says is taken; a question's share follows the store's."""
    own = Config(store_memory_bytes=2 * GIB)
    assert (own.find_store_memory(), own.find_query_memory()) == (2 * GIB, 2 * GIB * 3 // 4)
    assert Config(query_memory_bytes=5000).find_query_memory() == 5000
    assert GIB <= Config().find_store_memory() <= 4 * GIB
