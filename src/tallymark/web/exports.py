"""A panel in other forms: picture, table, specification, figures, question. Dashboards and embeds call this."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import msgspec

from tallymark.errors import RequestRefused
from tallymark.plan.kinds.dashboard import Panel
from tallymark.plan.kinds.metric import Formula, Span
from tallymark.queries.result import Answer, Column, render_answer
from tallymark.web.asking import Asker
from tallymark.web.panels import View, recall_panel, run_panel
from tallymark.web.picture_specs import Theme, build_picture, check_size
from tallymark.web.pictures import PictureFormat
from tallymark.web.services import Services

FORMATS: Final = ("svg", "png", "csv", "json", "vl", "question")
# Those that tell what a panel shows, but not how it was asked: neither its definition nor its conditions.
FORMATS_FOR_GUESTS: Final = ("svg", "png", "csv", "json")
_MEDIA_TYPES: Final = {"svg": "image/svg+xml", "png": "image/png", "vl": "application/json"}
_PICTURES: Final[dict[str, PictureFormat]] = {"svg": "svg", "png": "png"}
_NOT_NOW: Final = "This panel cannot be shown now."
_WIDTH, _HEIGHT = 800, 360


@dataclass(frozen=True, slots=True)
class Exported:
    """A form of a panel as bytes."""

    body: bytes
    media_type: str


async def make_view(
    services: Services, asker: Asker, panel: Panel, span: Span, kind: str, *, linked: bool = True
) -> View:
    """Return a panel for one of its forms; what is to be a picture waits for its turn, unless nothing has to be asked.

    Raises RequestRefused (overloaded) where too many wait.
    """
    make = partial(run_panel, asker, panel, span, linked=linked)
    if kind not in _PICTURES:
        return await services.run_panel(make)
    found = recall_panel(asker, panel, span, linked=linked)
    if found is not None:
        return found
    async with services.pictures.turn():
        return await services.run_panel(make)


async def export_panel(
    services: Services,
    view: View,
    span: Span,
    kind: str,
    fields: dict[str, str],
    forms: tuple[str, ...] = FORMATS,
) -> Exported:
    """Return a panel as svg, png, csv, json, vl (Vega-Lite) or question, whichever are in `forms`; raises RequestRefused.

    `fields` may hold `width` and `height` in pixels and `theme` for pictures.
    """
    if kind not in forms:
        raise RequestRefused("not_found", f"There is no form {kind[:20]!r}. Forms: {', '.join(forms)}.")
    made = await services.run(_build, view, span, kind, fields)
    if kind not in _PICTURES:
        return made
    return Exported(await services.pictures.draw(made.body, _PICTURES[kind]), made.media_type)


def show_guests(view: View) -> View:
    """Return a panel without the sentences that say how it was asked: names of events and fields, and its conditions.

    Such sentences tell its people why there is nothing to show; who has no more than the panel can do nothing about it.
    """
    asked = msgspec.to_builtins(view.questions)
    terms = sorted({re.escape(term) for term in _names(asked) if term}, key=len, reverse=True)
    # A formula's parts are no questions of its own: of what is said about those only the chart's own words are safe.
    opaque = any(isinstance(one, Formula) for one in view.metrics)
    telling = re.compile(rf"(?<!\w)(?:{'|'.join(terms)})(?!\w)") if terms else None
    drawn = view.chart.notes if view.chart else []

    def fits(note: str) -> bool:
        return note in drawn or not (opaque or (telling and telling.search(note)))

    return replace(
        view,
        notes=[note for note in view.notes if fits(note)],
        asked=[
            msgspec.structs.replace(one, notes=[note for note in one.notes if fits(note)])
            for one in view.asked
        ],
        problem="" if not view.problem else view.problem if fits(view.problem) else _NOT_NOW,
        html="",
    )


def _names(asked: Any) -> Iterator[str]:
    """Yield what a question names: events, fields, and the values of conditions."""
    if isinstance(asked, list | tuple):
        for one in asked:
            yield from _names(one)
    elif isinstance(asked, dict):
        for name, value in asked.items():
            if name in ("event_name", "field", "by") and isinstance(value, str):
                yield from (value, value.removeprefix("attributes."))
            elif name == "value":
                yield from (str(one) for one in (value if isinstance(value, list | tuple) else [value]))
            else:
                yield from _names(value)


def _build(view: View, span: Span, kind: str, fields: dict[str, str]) -> Exported:
    """Return the form, or of a picture its specification; takes its time with many rows."""
    if kind == "csv":
        return Exported(_render_csv(view), "text/csv")
    if kind == "json":
        shown = {
            "panel": view.panel.name,
            "title": view.title,
            "problem": view.problem,
            "figures": view.asked,
            "notes": view.notes,
        }
        return Exported(msgspec.json.encode(shown), "application/json")
    if kind == "question":
        questions = [msgspec.to_builtins(question) for question in view.questions]
        return Exported(msgspec.json.encode({"span": span, "questions": questions}), "application/json")
    theme: Theme = "dark" if fields.get("theme") == "dark" else "light"
    width = check_size(fields.get("width", ""), "width", _WIDTH)
    height = check_size(fields.get("height", ""), "height", _HEIGHT)
    spec = msgspec.json.encode(build_picture(view, span, theme, width, height))
    return Exported(spec, _MEDIA_TYPES[kind])


def _render_csv(view: View) -> bytes:
    """Return all figures, one table below the other with an empty line between.

    What must be said about them stands in the first row, in a column of its own: a comment would be no row to most readers.
    """
    tables = []
    for asked in view.asked:
        columns, rows = asked.columns, asked.rows
        if asked.notes and rows:
            said = " ".join(asked.notes)
            columns = (*columns, Column("notes", "text"))
            rows = [[*row, None if number else said] for number, row in enumerate(rows)]
        tables.append(render_answer(Answer(columns, rows, [], asked.statistics), "text/csv"))
    return b"\r\n".join(tables)
