"""Rows are cut into inserts that no engine finds too much: bounded in rows and in partitions, none lost."""

from __future__ import annotations

import random

from tallymark.loader.rows import Row, group_rows
from tallymark.store.partitions import find_partition, find_partition_by_project

WEEK_US = 7 * 86_400_000_000


def _rows(projects: int, weeks: int, each: int, find) -> list[Row]:
    made = [
        Row(b"%d/%d/%d" % (project, week, number), number, project, find(f"p{project}", week * WEEK_US))
        for project in range(projects)
        for week in range(weeks)
        for number in range(each)
    ]
    random.Random(1).shuffle(made)
    return made


def _check(rows: list[Row], most_rows: int, most_partitions: int) -> list[list[Row]]:
    groups = group_rows(rows, most_rows, most_partitions)
    assert sorted(row.text for group in groups for row in group) == sorted(row.text for row in rows)
    for group in groups:
        assert 0 < len(group) <= most_rows
        assert len({row.partition for row in group}) <= most_partitions
    return groups


def test_partitions_of_an_old_table():
    """1,500 projects in a table with a partition for each go in as few inserts as the bound allows."""
    rows = _rows(1500, 1, 3, find_partition_by_project)
    assert len(_check(rows, 10**9, 100)) == 15


def test_weeks_after_a_restore():
    """Four years of weeks at once: the buckets of each week stay within the bound."""
    rows = _rows(40, 200, 1, find_partition)
    assert len(_check(rows, 10**9, 100)) == 200 * 8 // 100


def test_rows():
    """A bound of rows holds within one partition, too."""
    rows = _rows(3, 1, 50, find_partition)
    assert len(_check(rows, 7, 100)) >= 150 // 7


def test_no_rows():
    """Of nothing nothing comes."""
    assert group_rows([], 10) == []
