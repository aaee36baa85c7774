"""Read a whole journal and say what is sound: the work of `tallymark journal verify`.

Takes the shard's folder, returns a report; changes nothing and may run beside the server.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tallymark.journal.files import HEADER_BYTES, list_segments, parse_header, scan_frames
from tallymark.journal.record import parse_heading


@dataclass(slots=True)
class Report:
    """What stands in a shard. `problems` are sentences; an empty list means that all is sound."""

    segments: int = 0
    records: int = 0
    events: int = 0
    bytes: int = 0
    first_number: int | None = None
    last_number: int | None = None
    abandoned_records: int = 0
    problems: list[str] = field(default_factory=list)


def verify_shard(folder: Path, durable_number: int) -> Report:
    """Check every frame of every segment in `folder`; `durable_number` is the published end."""
    report = Report()
    segments = list_segments(folder)
    headers = [parse_header(path.read_bytes()[:HEADER_BYTES], path) for _, path in segments]
    for position, (first, path) in enumerate(segments):
        report.segments += 1
        if headers[position] is None:
            report.problems.append(
                f"{path.name}: the header is damaged; records after {first} may be missing"
            )
            continue
        later = [header.earlier_end for header in headers[position + 1 :] if header is not None]
        _verify_segment(report, path, min([durable_number, *later]), last=position == len(segments) - 1)
    return report


def _verify_segment(report: Report, path: Path, valid_end: int, *, last: bool) -> None:
    raw = path.read_bytes()
    report.bytes += len(raw)
    for number, payload_start, frame_end, intact in scan_frames(raw, HEADER_BYTES, len(raw)):
        if intact and number < valid_end:
            report.records += 1
            report.events += parse_heading(raw[payload_start:frame_end]).total
            report.first_number = number if report.first_number is None else report.first_number
            report.last_number = number
        elif intact:
            report.abandoned_records += 1
        elif not (last and frame_end == len(raw)):
            size = frame_end - payload_start
            report.problems.append(
                f"{path.name}: {size} damaged bytes at offset {payload_start}; skipped by readers"
            )
