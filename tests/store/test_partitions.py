"""The loader and the engine agree about which partition a row belongs to."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from tallymark.clock import to_microseconds
from tallymark.store.partitions import find_bucket, find_partition, is_current, read_partition_key
from tallymark.store.schema import BUCKETS, EVENTS_TABLE

pytestmark = pytest.mark.store

PROJECTS = ["default", "", "a", "projekt-ü", "東京", "p" * 200, *(f"p{number}" for number in range(200))]


def test_buckets(store):
    """A project's bucket is the same number on both sides."""
    asked = store.client().query_rows(
        "SELECT xxHash64(toLowCardinality(name)) % {n:UInt8} FROM (SELECT arrayJoin({names:Array(String)}) AS name)",
        {"n": BUCKETS, "names": PROJECTS},
    )
    assert [row[0] for row in asked.rows] == [find_bucket(name) for name in PROJECTS]
    assert {find_bucket(name) for name in PROJECTS} == set(range(BUCKETS))


def test_weeks(store, render_rows, build_row):
    """A week ends with Sunday midnight in UTC, here as in the store."""
    monday = datetime(2026, 11, 30, tzinfo=UTC)
    times = [
        monday + timedelta(days=days, microseconds=offset)
        for days in (-7, 0, 7, 365)
        for offset in (-1, 0, 1)
    ]
    rows = [
        build_row(number, project="weeks", received_at=time.isoformat()) for number, time in enumerate(times)
    ]
    client = store.client()
    client.insert_ndjson(EVENTS_TABLE, render_rows(rows), token="weeks")
    asked = client.query_rows(
        f"SELECT journal_record, _partition_id FROM {EVENTS_TABLE} WHERE project = 'weeks' ORDER BY 1"
    )
    theirs = [row[1] for row in asked.rows]
    ours = [find_partition("weeks", to_microseconds(time)) for time in times]
    assert [theirs.index(one) for one in theirs] == [ours.index(one) for one in ours]


def test_new_table(store):
    """A fresh store has today's partitions."""
    assert is_current(read_partition_key(store.client(), EVENTS_TABLE))


def test_a_question_reads_its_project_alone(store, render_rows, build_row):
    """Of the partitions only the project's bucket is read, and of that only where the project's rows stand."""
    client = store.client()
    rows = [build_row(number, project=f"pruned-{number % 40}") for number in range(400)]
    client.insert_ndjson(EVENTS_TABLE, render_rows(rows), token="pruned")
    plan = "\n".join(
        row[0]
        for row in client.query_rows(
            f"EXPLAIN indexes = 1 SELECT sum(value) FROM {EVENTS_TABLE} WHERE project = 'pruned-7'"
        ).rows
    )
    bucket = find_bucket("pruned-7")
    assert re.search(rf"Partition\s.*xxHash64\(project\).* in \[{bucket}, {bucket}\]", plan, re.DOTALL), plan
