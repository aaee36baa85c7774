"""One colour for one meaning: in every chart, at every time, and never twice in one chart."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallymark.catalog.colours import MOST_VALUES, Colours
from tallymark.catalog.migrations import run_migrations
from tallymark.catalog.repository import Catalog
from tallymark.catalog.tables import COLOUR, open_engine, sqlite_url
from tallymark.web.chart_specs import MAX_SERIES
from tallymark.web.palette import Palette, keys_in_order


@pytest.fixture
def catalog(tmp_path):
    engine = open_engine(sqlite_url(tmp_path))
    run_migrations(engine)
    made = Catalog(engine)
    for project in ("shop", "other"):
        made.create_project(project)
    yield made
    engine.dispose()


@pytest.fixture
def colours(catalog):
    return Colours(catalog)


def test_a_value_keeps_its_colour(colours):
    """Whatever else a chart shows, and after a restart, a value has the colour that it was first seen with."""
    palette = Palette(colours)
    first = palette.choose("shop", "os", ["iOS", "Android"])
    assert first == {"iOS": "s0", "Android": "s1"}
    assert palette.choose("shop", "os", ["Desktop", "Android"]) == {"Desktop": "s2", "Android": "s1"}
    again = Palette(colours)
    assert again.choose("shop", "os", ["Android", "Desktop", "iOS"]) == {**first, "Desktop": "s2"}


def test_fields_and_projects_have_their_own(catalog, colours):
    """The same word is another thing in another field or project."""
    palette = Palette(colours)
    palette.choose("shop", "os", ["a", "b"])
    assert palette.choose("shop", "plan", ["b"]) == {"b": "s0"}
    assert palette.choose("other", "os", ["b"]) == {"b": "s0"}


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.lists(st.text(max_size=5), unique=True, min_size=1, max_size=MAX_SERIES), max_size=8))
def test_no_two_in_one_chart(colours, charts):
    """However many values a field has had, those of one chart look different, and the same chart looks the same."""
    palette = Palette(colours)
    for values in charts:
        keys = palette.choose("shop", "os", values)
        assert set(keys) == set(values)
        assert len(set(keys.values())) == len(values)
        assert palette.choose("shop", "os", list(reversed(values))) == keys


def test_what_is_kept_is_bounded_and_tells_nothing(catalog, colours):
    """Of a field with thousands of values only some are kept, and none of them can be read."""
    palette = Palette(colours)
    for number in range(0, 400, MAX_SERIES):
        palette.choose(
            "shop", "mail", [f"ada{one}@example.com" for one in range(number, number + MAX_SERIES)]
        )
    with catalog.engine.connect() as connection:
        rows = connection.execute(sa.select(COLOUR)).all()
    assert len(rows) == MOST_VALUES + 1
    assert not any("@" in row.meaning for row in rows)
    values = [f"ada{one}@example.com" for one in range(392, 400)]
    assert palette.choose("shop", "mail", values) == Palette(colours).choose("shop", "mail", values)


def test_a_catalog_that_cannot_be_written_costs_no_chart(catalog, colours):
    """Without the table there are colours nevertheless."""
    with catalog.engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE colour"))
    keys = Palette(colours).choose("shop", "os", ["iOS", "Android"])
    assert len(set(keys.values())) == 2


def test_a_colour_is_no_change_of_the_project(catalog, colours):
    """Nobody has to read keys and projects again because somebody looked at a chart."""
    version = catalog.version()
    Palette(colours).choose("shop", "os", ["iOS"])
    assert catalog.version() == version


def test_in_order():
    """Where nothing is compared with another chart, colours come in order."""
    assert keys_in_order("", ["b", "a"]) == {"b": "s0", "a": "s1"}
