"""The form of the explore page: from the fields of a link to a question, and back; where an error belongs in it.

Comes in: names and values such as `s0.event`, `s0.f0.field`, `b0`. Goes out: an `ExploreForm`, its canonical fields
and the question's object. Pure. The parts are the series of a trend, the two sides of a ratio, the steps of a funnel.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, get_args

from tallymark.queries.fields import SKETCH
from tallymark.queries.kinds.funnel import parse_window
from tallymark.queries.question import MAX_BREAKDOWNS, Interval, MeasureOp, refuse
from tallymark.web.filter_rows import (
    CONDITIONS,
    ROWS,
    FilterRow,
    build_filter,
    build_row,
    parse_rows,
    read_name,
    render_rows,
    write_name,
)
from tallymark.web.parameters import free, handled, one_of

KINDS: Final = ("trend", "ratio", "funnel")
MAX_PARTS: Final = 20
DEFAULT_BY: Final = "session_id"
DEFAULT_WINDOW: Final = "7d"
_PART_FIELDS: Final = ("event", "name", "op", "field", "q")
# Those that name something that was sent, or is to be named.
_NAMES: Final = ("event", "name", "field")
# Leaves out what is beyond the limit.
_NO: Final = "no"
# The form's fields.
FORM_FIELDS: Final = (
    *(
        one_of("kind", KINDS),
        handled("from"),
        handled("to"),
        one_of("interval", get_args(Interval)),
        handled("tz"),
    ),
    *(handled("limit"), one_of("others", (_NO,)), free("by"), handled("window"), handled("b#")),
    *CONDITIONS,
    *(free("s#.event"), free("s#.name"), free("s#.field"), handled("s#.q")),
    one_of("s#.op", get_args(MeasureOp)),
    *(replace(one, name=f"s#.{one.name}") for one in ROWS),
)
_LIST: Final = re.compile(r"(series|steps|filters|breakdown)\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Part:
    """One line of a trend, side of a ratio or step of a funnel, as texts."""

    event: str = ""
    name: str = ""
    op: str = "count"
    field: str = ""
    q: str = ""
    filters: tuple[FilterRow, ...] = ()


@dataclass(frozen=True, slots=True)
class ExploreForm:
    """All that can be chosen, as texts."""

    kind: str = "trend"
    start: str = ""
    end: str = ""
    interval: str = ""
    timezone: str = "UTC"
    limit: str = ""
    # "no" leaves out what is beyond the limit instead of showing it together.
    others: str = ""
    by: str = ""
    window: str = ""
    parts: tuple[Part, ...] = ()
    filters: tuple[FilterRow, ...] = ()
    breakdown: tuple[str, ...] = field(default=())


def parse_form(pairs: Iterable[tuple[str, str]]) -> ExploreForm:
    """Return what a link or the sent form says. Empty rows are dropped, as is the row that `drop` names."""
    given = [(name, value if name.endswith(".value") else value.strip()) for name, value in pairs]
    dropped = [value for name, value in given if name == "drop" and value]
    fields = {
        name: value
        for name, value in given
        if not any(name == gone or name.startswith(f"{gone}.") for gone in dropped)
    }
    parts = [_parse_part(fields, f"s{number}") for number in range(MAX_PARTS + 1)]
    breakdown = [read_name(fields.get(f"b{number}", "")) for number in range(MAX_BREAKDOWNS + 1)]
    return ExploreForm(
        kind=fields.get("kind", "") or KINDS[0],
        start=fields.get("from", ""),
        end=fields.get("to", ""),
        interval=fields.get("interval", ""),
        timezone=fields.get("tz", "") or "UTC",
        limit=fields.get("limit", ""),
        others=fields.get("others", ""),
        by=read_name(fields.get("by", "")),
        window=fields.get("window", ""),
        parts=tuple(part for part in parts if part.event),
        filters=tuple(parse_rows(fields)),
        breakdown=tuple(name for name in breakdown if name),
    )


def check_left_out(form: ExploreForm) -> None:
    """Check what the chosen kind does not use: no question would say what is wrong with it. Raises RequestRefused."""
    if form.window and form.kind != "funnel":
        parse_window(form.window)
    for number, part in enumerate(form.parts):
        q = _number(part.q) if part.q and part.op != "quantile" else 0
        if not (isinstance(q, int | float) and 0 <= q <= 1):
            raise refuse(f"{part.q[:40]!r} is no quantile. Allowed is a number from 0 to 1.", f"s{number}.q")


def _parse_part(fields: Mapping[str, str], prefix: str) -> Part:
    texts = {name: fields.get(f"{prefix}.{name}", "") for name in _PART_FIELDS}
    texts |= {name: read_name(texts[name]) for name in _NAMES}
    texts["op"] = texts["op"] or "count"
    return Part(**texts, filters=tuple(parse_rows(fields, f"{prefix}.")))


def render_form(form: ExploreForm) -> list[tuple[str, str]]:
    """Return the form as the fields of its link, in one order and without what is empty or the default."""
    pairs = [
        ("kind", form.kind),
        ("from", form.start),
        ("to", form.end),
        ("interval", form.interval if form.kind != "funnel" else ""),
        ("tz", form.timezone if form.timezone != "UTC" else ""),
    ]
    if form.kind == "funnel":
        pairs += [("by", write_name(form.by or DEFAULT_BY)), ("window", form.window or DEFAULT_WINDOW)]
    for number, part in enumerate(form.parts):
        pairs += _render_part(form, part, f"s{number}")
    pairs += render_rows(form.filters)
    pairs += [(f"b{number}", write_name(name)) for number, name in enumerate(form.breakdown)]
    pairs += [("limit", form.limit), ("others", form.others)]
    return [(name, value) for name, value in pairs if value]


def _render_part(form: ExploreForm, part: Part, prefix: str) -> list[tuple[str, str]]:
    pairs = [(f"{prefix}.event", write_name(part.event))]
    if form.kind != "ratio":
        pairs.append((f"{prefix}.name", write_name(part.name)))
    if _is_measured(form.kind, part):
        pairs += [(f"{prefix}.op", part.op), (f"{prefix}.field", write_name(part.field))]
        pairs.append((f"{prefix}.q", part.q if part.op == "quantile" else ""))
    return pairs + render_rows(part.filters, f"{prefix}.")


def _is_measured(kind: str, part: Part) -> bool:
    """Return whether a part measures something beside its events: of a sketch the values can be counted."""
    return kind != "funnel" and (part.op != "count" or part.field == SKETCH)


def build_question(form: ExploreForm) -> dict[str, Any]:
    """Return the question's object; what is wrong with it is said by whoever parses it."""
    question: dict[str, Any] = {"kind": form.kind, "from": form.start, "to": form.end}
    if form.timezone != "UTC":
        question["timezone"] = form.timezone
    if form.interval and form.kind != "funnel":
        question["interval"] = form.interval
    parts = [_build_part(form.kind, part) for part in form.parts]
    if form.kind == "trend":
        question["series"] = parts
    elif form.kind == "ratio":
        question |= dict(zip(("numerator", "denominator"), parts, strict=False))
    else:
        question |= {"by": form.by or DEFAULT_BY, "window": form.window or DEFAULT_WINDOW, "steps": parts}
    if form.filters:
        question["filters"] = [build_filter(row) for row in form.filters]
    if form.breakdown:
        question["breakdown"] = list(form.breakdown)
    if form.limit:
        question["limit"] = _number(form.limit)
    if form.breakdown and form.kind != "funnel" and not form.others:
        question["others"] = True
    return question


def _build_part(kind: str, part: Part) -> dict[str, Any]:
    built: dict[str, Any] = {"event_name": part.event}
    if part.name and kind != "ratio":
        built["name"] = part.name
    if _is_measured(kind, part):
        measure: dict[str, Any] = {"op": part.op}
        if part.field:
            measure["field"] = part.field
        if part.q and part.op == "quantile":
            measure["q"] = _number(part.q)
        built["measure"] = measure
    if part.filters:
        built["filters"] = [build_filter(row) for row in part.filters]
    return built


def _hides_others(question: Mapping[str, Any]) -> bool:
    return (
        question["kind"] != "funnel" and bool(question.get("breakdown")) and not question.get("others", False)
    )


def _number(text: str) -> Any:
    """Return a number, or the text itself for the parser to refuse by name."""
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        return text


def form_of(question: Mapping[str, Any]) -> ExploreForm:
    """Return the form of a question that was parsed, such as one pasted as JSON."""
    kind = str(question["kind"])
    if kind not in KINDS:
        raise refuse(f"This page shows {', '.join(KINDS)}. Ask a {kind} with POST /v1/query.", "kind")
    if kind == "ratio":
        selections = [question["numerator"], question["denominator"]]
    else:
        selections = list(question["series" if kind == "trend" else "steps"])
    return ExploreForm(
        kind=kind,
        start=str(question["from"]),
        end=str(question["to"]),
        interval=str(question.get("interval") or ""),
        timezone=str(question.get("timezone", "UTC")),
        limit=str(question.get("limit", "")),
        others=_NO if _hides_others(question) else "",
        by=str(question.get("by", "")),
        window=str(question.get("window", "")),
        parts=tuple(_part_of(selection) for selection in selections),
        filters=tuple(build_row(one) for one in question.get("filters", ())),
        breakdown=tuple(question.get("breakdown", ())),
    )


def _part_of(selection: Mapping[str, Any]) -> Part:
    measure = selection.get("measure") or {"op": "count"}
    q = measure.get("q")
    return Part(
        event=str(selection["event_name"]),
        name=str(selection.get("name") or ""),
        op=str(measure["op"]),
        field=str(measure.get("field") or ""),
        q="" if q is None else repr(q),
        filters=tuple(build_row(one) for one in selection.get("filters", ())),
    )


def find_input(at: str) -> str:
    """Return the name of the input that a place in the question belongs to: series[0].measure.op is s0.op."""
    at = at.replace("numerator", "series[0]").replace("denominator", "series[1]")
    at = _LIST.sub(lambda found: {"f": "f", "b": "b"}.get(found[1][0], "s") + found[2], at)
    at = re.sub(r"\.value\[\d+\]$", ".value", at)
    at = at.replace(".measure", "").replace(".event_name", ".event").replace("timezone", "tz")
    return {
        "series": "s0.event",
        "steps": "s0.event",
        "breakdown": "b0",
        "filters": "f0.field",
        "s0": "s0.event",
        "s1": "s1.event",
    }.get(at, at)


def fit_parts(form: ExploreForm, kind: str) -> ExploreForm:
    """Return the same choice as another kind of question."""
    parts = form.parts[:2] if kind == "ratio" else form.parts
    if kind == "funnel":
        parts = tuple(replace(part, op="count", field="", q="") for part in parts)
    return replace(form, kind=kind, parts=parts)
