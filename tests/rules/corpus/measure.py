"""Run the corpus through the intake and print what each privacy rule finds and mistakes. docs/privacy.md has the table.

It uses nothing but the intake's own functions, so that it also measures earlier versions: put their `src` first on
PYTHONPATH.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tallymark.intake.accept import Acceptor
from tallymark.intake.receivers.events import parse_events
from tallymark.journal.record import Record
from tallymark.pipeline.batch import Arrival
from tallymark.rules.privacy import RULES, PrivacyRules

HERE = Path(__file__).parent
TIME = datetime(2026, 1, 31, 12, tzinfo=UTC)
SECRET = b"of this installation"


@dataclass
class Score:
    """What became of the corpus, by rule."""

    wanted: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    ordinary: Counter[str] = field(default_factory=Counter)
    mistaken: Counter[str] = field(default_factory=Counter)
    missed_lines: list[list[str]] = field(default_factory=list)
    mistaken_lines: list[list[str]] = field(default_factory=list)

    def recall(self, rule: str) -> float:
        return self.found[rule] / self.wanted[rule]

    def precision(self, rule: str) -> float:
        return self.found[rule] / (self.found[rule] + self.mistaken[rule])


def read(name: str) -> list[list[str]]:
    """Return the lines of a file of the corpus as columns."""
    return [line.split("\t") for line in (HERE / name).read_text(encoding="utf-8").splitlines()]


def build_event(where: str, value: str) -> dict[str, Any]:
    """Return an event that holds the value at its place."""
    event: dict[str, Any] = {
        "event_id": "e1",
        "event_time": "2026-01-31T12:00:00Z",
        "event_type": "t",
        "event_name": "n",
    }
    if where == "name":
        event["attributes"] = {value[:200]: 1}
    elif where == "performer_groups":
        event["performer_groups"] = [value]
    elif where.startswith("attributes."):
        event["attributes"] = {where.removeprefix("attributes."): value}
    else:
        event[where] = value
    return event


def accept(bodies: list[dict[str, Any]], rules: PrivacyRules | None = None) -> Record:
    """Send events through parsing, the steps and the quarantine's redaction."""
    parsed = parse_events("\n".join(json.dumps(body, ensure_ascii=False) for body in bodies).encode(), 10_000)
    arrival = Arrival("p", "http", TIME, None, rules or PrivacyRules(secret=SECRET))
    return Acceptor(journal=None, seed=1).prepare(parsed.build_batch(arrival))


def kept(record: Record) -> str:
    """Return all that reaches the disk of a record's events."""
    failed = [[one.message, one.place, one.event_name, one.body.decode()] for one in record.failed]
    return record.rows.decode() + (json.dumps(failed, ensure_ascii=False) if failed else "")


def score_corpus() -> Score:
    """Send every line of the corpus through the intake, alone."""
    score = Score()
    for line in read("must_go.tsv"):
        rule, where, value, secret = line
        score.wanted[rule] += 1
        text = kept(accept([build_event(where, value)]))
        if secret in text or json.dumps(secret)[1:-1] in text:
            score.missed_lines.append(line)
        else:
            score.found[rule] += 1
    for line in read("must_stay.tsv"):
        _, where, value = line
        event = build_event(where, value)
        record = accept([event])
        rows = [json.loads(row) for row in record.rows.decode().splitlines()]
        score.ordinary[line[0]] += 1
        if rows != [event]:
            score.mistaken.update(set(record.heading.scrubbed))
            score.mistaken_lines.append([*line, json.dumps(rows, ensure_ascii=False)])
    return score


if __name__ == "__main__":
    result = score_corpus()
    for name in RULES:
        print(f"| `{name}` | {result.wanted[name]} | {result.recall(name):.4f} | {result.ordinary[name]} | {result.mistaken[name]} | {result.precision(name):.4f} |")  # fmt: skip
    print("missed", *result.missed_lines, sep="\n")
    print("mistaken", *result.mistaken_lines, sep="\n")
