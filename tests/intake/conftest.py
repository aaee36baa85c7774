"""The intake of a real server for the tests of this room, and of tests/contracts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tallymark.intake.limits import IntakeLimits
from tests.intake.site import IntakeSite


@pytest.fixture(scope="module")
def make_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., IntakeSite]]:
    """Give a maker of started intakes; its arguments are limits."""
    made: list[IntakeSite] = []

    def make(**limits: Any) -> IntakeSite:
        made.append(IntakeSite(tmp_path_factory.mktemp("intake"), IntakeLimits(**limits)).start())
        return made[-1]

    yield make
    for site in made:
        site.stop()
