"""Read a whole journal and its verdict log, and say what is sound: the work of `tallymark journal verify`.

Takes the shard's folder, returns a report; changes nothing and may run beside the server.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tallymark.journal.files import HEADER_BYTES, list_segments, read_header
from tallymark.journal.frames import scan_frames
from tallymark.journal.record import parse_heading
from tallymark.journal.verdicts import HEADER_BYTES as VERDICT_HEADER_BYTES
from tallymark.journal.verdicts import check_header, list_verdict_files


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
    judged_number: int = 0
    problems: list[str] = field(default_factory=list)


def verify_shard(folder: Path, durable_number: int) -> Report:
    """Check every frame of every segment in `folder`; `durable_number` is the published end."""
    report = Report()
    segments = list_segments(folder)
    headers = [read_header(path) for _, path in segments]
    expected = segments[0][0] if segments else durable_number
    for position, (first, path) in enumerate(segments):
        report.segments += 1
        header = headers[position]
        if header is None:
            report.problems.append(f"{path.name}: the header is damaged; its records are read all the same")
        elif header.earlier_end > expected:
            missing = header.earlier_end - expected
            report.problems.append(f"{path.name}: {missing} records before {header.earlier_end} are missing")
        later = [header.earlier_end for header in headers[position + 1 :] if header is not None]
        last = position == len(segments) - 1
        expected = _verify_segment(
            report, path, max(expected, first), min([durable_number, *later]), last=last
        )
    if expected < durable_number and segments and segments[-1][0] < durable_number:
        report.problems.append(
            f"{durable_number - expected} records before {durable_number} are missing at the end"
        )
    return report


def verify_verdicts(report: Report, folder: Path, judged_number: int) -> None:
    """Check every frame of the verdict log in `folder`, whose published end is `judged_number`, and add to the report."""
    report.judged_number = judged_number
    files = list_verdict_files(folder)
    for position, (first, path) in enumerate(files):
        following = files[position + 1][0] if position + 1 < len(files) else judged_number
        raw = path.read_bytes()
        report.bytes += len(raw)
        if not check_header(raw, path):
            report.problems.append(f"{path.name}: the header is damaged")
        end = first
        for number, start, frame_end, intact in scan_frames(raw, VERDICT_HEADER_BYTES, len(raw)):
            # What stands behind the end of a file was written and not published.
            if end >= following:
                break
            if intact:
                end = number
            else:
                report.problems.append(f"{path.name}: {frame_end - start} damaged bytes at offset {start}")
        if end < following:
            report.problems.append(
                f"{path.name}: the verdicts of records {end} to {following - 1} are missing"
            )


def _verify_segment(report: Report, path: Path, expected: int, valid_end: int, *, last: bool) -> int:
    """Check one segment; returns the number that must follow."""
    raw = path.read_bytes()
    report.bytes += len(raw)
    abandoned = abandoned_events = 0
    for number, payload_start, frame_end, intact in scan_frames(raw, HEADER_BYTES, len(raw)):
        if intact and number < valid_end:
            if number > expected:
                report.problems.append(
                    f"{path.name}: {number - expected} records before {number} are missing"
                )
            report.records += 1
            report.events += parse_heading(raw[payload_start:frame_end]).total
            report.first_number = number if report.first_number is None else report.first_number
            report.last_number = number
            expected = number + 1
        elif intact:
            abandoned += 1
            abandoned_events += parse_heading(raw[payload_start:frame_end]).total
        elif not (last and frame_end == len(raw) and expected >= valid_end):
            size = frame_end - payload_start
            report.problems.append(
                f"{path.name}: {size} damaged bytes at offset {payload_start}; readers skip them"
            )
    if abandoned:
        report.abandoned_records += abandoned
        report.problems.append(
            f"{path.name}: {abandoned} records with {abandoned_events} events stand behind record {valid_end}, where the "
            "next segment says that this one ends; readers skip them. Their sync failed, and their senders were told "
            "so, or a second server wrote here, and they are lost"
        )
    return expected
