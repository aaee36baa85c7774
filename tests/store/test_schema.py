"""The event table keeps what an event carries, value for value."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallymark.event import CORE_FIELDS
from tallymark.store.errors import StoreError
from tallymark.store.schema import CORE_COLUMNS, EVENT_COLUMNS, EVENTS_TABLE, TABLE_SETTINGS

pytestmark = pytest.mark.store


def test_columns_are_the_events_fields():
    """Every core field of an event has its column, in the same order, and no column stands for nothing."""
    assert [column.name for column in CORE_COLUMNS] == [
        field for field in CORE_FIELDS if field != "event_time"
    ]


def test_table_has_the_columns_of_the_schema(store):
    """The table that the migrations make has the columns of the schema, in order."""
    described = store.client().query_rows(f"DESCRIBE TABLE {EVENTS_TABLE}")
    assert [row[0] for row in described.rows] == [column.name for column in EVENT_COLUMNS]


def test_all_core_fields_come_back(store, build_row, render_rows):
    """A row with every field set comes back with every value, and event_time is the client's time plus the skew."""
    project = uuid4().hex
    values = {
        "value": 2.5,
        "is_dev": True,
        "performer_is_logged_in": False,
        "performer_is_bot": None,
        "performer_groups": ["a", "b'c"],
        "truncated": True,
        "sketch_values": [1.5, 1e300],
        "sketch_counts": [1, 2**63],
    }
    texts = {column.name: f"é\t'{column.name}\\" for column in CORE_COLUMNS if column.name not in values}
    row = build_row(project=project, skew_ms=-1500, **{**texts, **values})
    client = store.client()
    client.insert_ndjson(EVENTS_TABLE, render_rows([row]), token=project)
    names = [*texts, *values, "client_time", "event_time", "received_at", "streams", "sample_rates"]
    answer = client.query_rows(
        f"SELECT {', '.join(names)} FROM {EVENTS_TABLE} WHERE project = {{p:String}}", {"p": project}
    )
    found = dict(zip(names, answer.rows[0], strict=True))
    expected = {**texts, **values}
    assert {name: found[name] for name in expected} == expected
    sent = datetime(2026, 1, 1, 0, 0, 0, 500000, tzinfo=UTC)
    assert found["client_time"] == sent
    assert found["event_time"] == sent - timedelta(milliseconds=1500)
    assert found["received_at"] == datetime(2026, 1, 1, 0, 0, 1, 123456, tzinfo=UTC)
    assert (found["streams"], found["sample_rates"]) == (["default"], [1.0])


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-01-01T10:00:00Z", datetime(2026, 1, 1, 10, tzinfo=UTC)),
        ("2026-01-01T10:00:00.123456+02:00", datetime(2026, 1, 1, 8, 0, 0, 123456, tzinfo=UTC)),
        ("2026-01-01T10:00:00.1-11:30", datetime(2026, 1, 1, 21, 30, 0, 100000, tzinfo=UTC)),
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
        ("2013-03-10 02:30:00Z", datetime(2013, 3, 10, 2, 30, tzinfo=UTC)),
    ],
)
def test_times_with_any_offset(store, build_row, render_rows, text, meant):
    """A time is the same instant whatever its offset and its fraction."""
    project = uuid4().hex
    client = store.client()
    client.insert_ndjson(
        EVENTS_TABLE, render_rows([build_row(project=project, client_time=text)]), token=project
    )
    answer = client.query_rows(
        f"SELECT event_time FROM {EVENTS_TABLE} WHERE project = {{p:String}}", {"p": project}
    )
    assert answer.rows == [(meant,)]


def test_unknown_column_is_refused(store, build_row, render_rows):
    """A row with a column that the table does not have is refused, not cut."""
    with pytest.raises(StoreError) as refused:
        store.client().insert_ndjson(EVENTS_TABLE, render_rows([build_row(no_such=1)]), token=uuid4().hex)
    assert refused.value.number == 117


def read_attributes(client, project):
    body = client.query_raw(
        f"SELECT event_id, attributes FROM {EVENTS_TABLE} WHERE project = {{p:String}} ORDER BY journal_record",
        {"p": project},
    )
    return [json.loads(line)["attributes"] for line in body.splitlines()]


@pytest.mark.parametrize(
    "attributes",
    [
        {"day": "2024-01-01", "time": "2024-01-01 10:00:00", "iso": "2024-01-01T10:00:00Z"},
        {"number_text": "5", "true_text": "true", "null_text": "null", "ip": "10.0.0.1"},
        {
            "integer": 5,
            "float": 5.5,
            "big": 2**63 - 1,
            "small": -(2**63),
            "unsigned": 2**64 - 1,
            "tiny": 1e-300,
        },
        {"a.b": 1, "a": {"b": 2}},
        {"a": {"b.c": {"d": [1, 2]}}, "a.b": {"c.d": "x"}},
        {"__proto__": 1, "constructor": {"prototype": 2}},
        {"back`tick": 1, 'quote"': 2, "apos'": 3, "sla\\sh": 4, "tab\t": 5, "percent%20": 6, "new\nline": 7},
        {"größe": "ß", "日本": "語", "🎈": "🎉"},
        {"list": [1, 2, 3], "texts": ["a", "b"], "nested": [[1], [2, 3]], "objects": [{"a": 1}, {"b": "x"}]},
        {"mixed": [1, "a", 2.5, True]},
        {"yes": True, "no": False},
        {"Case": 1, "case": 2},
        {"deep": {"er": {"er": {"er": "value"}}}},
    ],
    ids=lambda value: ascii(next(iter(value)))[1:-1],
)
def test_attributes_come_back(store, build_row, render_rows, attributes):
    """Attributes come back as they were sent: no text turns into a date or number, no dot into nesting."""
    project = uuid4().hex
    client = store.client()
    client.insert_ndjson(
        EVENTS_TABLE, render_rows([build_row(project=project, attributes=attributes)]), token=project
    )
    assert read_attributes(client, project) == [attributes]


def test_what_json_columns_cannot_keep(store, build_row, render_rows):
    """Nulls and empty objects vanish, an escaped dot in a name turns into a dot, an integer past 64 bits turns into text."""
    project = uuid4().hex
    client = store.client()
    sent = {"null": None, "empty": {}, "a%2Eb": 1, "huge": 2**70, "nested": {"null": None, "kept": 1}}
    client.insert_ndjson(
        EVENTS_TABLE, render_rows([build_row(project=project, attributes=sent)]), token=project
    )
    assert read_attributes(client, project) == [{"a.b": 1, "huge": str(2**70), "nested": {"kept": 1}}]


def test_repeated_and_empty_names_store(store, build_row, render_rows):
    """Of a name that stands twice the first counts, and an empty name is a name: neither costs the row."""
    project = uuid4().hex
    client = store.client()
    line = render_rows([build_row(project=project)]).replace(
        b'"attributes": {}', b'"attributes": {"a": 1, "a": "x", "": 2}'
    )
    assert b'"a": "x"' in line
    client.insert_ndjson(EVENTS_TABLE, line, token=project)
    assert read_attributes(client, project) == [{"a": 1, "": 2}]


_KEYS = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1, max_size=12
).filter(lambda name: "%2e" not in name.lower())  # the escape of a dot; its loss has a test of its own
_SCALARS = st.one_of(
    st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=20),
    st.integers(-(2**63), 2**64 - 1),
    # A whole float beyond 2^53 is written with the digits that tell it apart, which Python reads as another integer.
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda value: not 2**53 <= abs(value) < 1e21),
    st.booleans(),
)
_VALUES = st.one_of(_SCALARS, st.lists(st.text(alphabet="ab1.-", max_size=5), min_size=1, max_size=3))
_ATTRIBUTES = st.dictionaries(
    _KEYS, st.one_of(_VALUES, st.dictionaries(_KEYS, _VALUES, min_size=1, max_size=3)), max_size=6
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.lists(_ATTRIBUTES, min_size=1, max_size=20))
def test_any_attributes_come_back(store, build_row, render_rows, batch):
    """Any attributes with any names come back as they were sent, also when the rows of a batch disagree on types."""
    project = uuid4().hex
    client = store.client()
    rows = [build_row(number, project=project, attributes=sent) for number, sent in enumerate(batch)]
    client.insert_ndjson(EVENTS_TABLE, render_rows(rows), token=project)
    assert read_attributes(client, project) == batch


def test_very_many_attribute_names(store, build_row, render_rows):
    """With 20,000 distinct attribute names every value is kept and found, past the number that have columns of their own."""
    project = uuid4().hex
    client = store.client()
    rows = [
        build_row(number, project=project, attributes={f"name_{number}_{part}": number for part in range(10)})
        for number in range(2000)
    ]
    client.insert_ndjson(EVENTS_TABLE, render_rows(rows), token=project)
    assert read_attributes(client, project) == [row["attributes"] for row in rows]
    answer = client.query_rows(
        f"SELECT sum(attributes.name_1999_9::Nullable(Float64)) FROM {EVENTS_TABLE} WHERE project = {{p:String}}",
        {"p": project},
    )
    assert answer.rows == [(1999.0,)]


def test_numbers_of_mixed_types_can_be_asked_for(store, build_row, render_rows):
    """An attribute that is an integer here, a float there and a text elsewhere gives all its numbers when cast."""
    project = uuid4().hex
    client = store.client()
    rows = [
        build_row(n, project=project, attributes={"amount": value})
        for n, value in enumerate([5, 5.5, "7", True])
    ]
    client.insert_ndjson(EVENTS_TABLE, render_rows(rows), token=project)
    answer = client.query_rows(
        f"SELECT sum(toFloat64OrNull(attributes.amount::String)) FROM {EVENTS_TABLE} WHERE project = {{p:String}}",
        {"p": project},
    )
    assert answer.rows == [(17.5,)]


def test_old_dates_do_not_wedge_the_loader(store, build_row, render_rows):
    """One insert with events of three hundred years is taken: partitions follow the time of receipt."""
    project = uuid4().hex
    client = store.client()
    rows = [
        build_row(n, project=project, client_time=f"{1970 + n % 300}-01-01T00:00:00Z") for n in range(1000)
    ]
    client.insert_ndjson(EVENTS_TABLE, render_rows(rows), token=project)
    answer = client.query_rows(
        f"SELECT count(), uniqExact(toYear(event_time)) FROM {EVENTS_TABLE} WHERE project = {{p:String}}",
        {"p": project},
    )
    assert answer.rows == [(1000, 300)]


def test_small_inserts_are_merged(store, build_row, render_rows):
    """Merges run by themselves: many small inserts soon are few parts, and no row is lost or doubled on the way."""
    project = uuid4().hex
    client = store.client()
    for number in range(60):
        client.insert_ndjson(
            EVENTS_TABLE, render_rows([build_row(number, project=project)]), token=f"{project}{number}"
        )
    parts = (
        f"SELECT count() FROM system.parts WHERE active AND table = 'events' AND partition LIKE '%{project}%'"
    )
    deadline = time.monotonic() + 60
    while client.query_rows(parts).rows[0][0] > 30:
        assert time.monotonic() < deadline, "no merge ran"
        time.sleep(0.05)
    answer = client.query_rows(
        f"SELECT count(), uniqExact(event_id) FROM {EVENTS_TABLE} WHERE project = {{p:String}}",
        {"p": project},
    )
    assert answer.rows == [(60, 60)]


def test_the_table_is_durable(store):
    """The table syncs its parts and folders to disk, after inserts and after merges, and remembers tokens."""
    sql = "SELECT engine_full FROM system.tables WHERE database = 'tallymark' AND name = 'events'"
    engine = store.client().query_rows(sql).rows[0][0]
    for name, value in TABLE_SETTINGS.items():
        assert f"{name} = {value}" in engine
