"""A panel in other forms: picture, table, specification, figures, question. Dashboards and embeds call this.

What guests may read of what is said about a panel is decided here too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, get_args

import msgspec

from tallymark.errors import RequestRefused
from tallymark.metrics.figures import Figures
from tallymark.plan.kinds.metric import FIGURE, Formula, Span
from tallymark.queries.question import GROUPS
from tallymark.queries.result import Answer, Cell, Column, Cost, render_answer
from tallymark.web.panels import FAULT, NO_FIGURE, PanelOrder, View, recall_panel, run_panel
from tallymark.web.parameters import number, one_of
from tallymark.web.picture_specs import PIXELS, Theme, build_picture
from tallymark.web.pictures import PictureFormat

FORMATS: Final = ("svg", "png", "csv", "json", "vl", "question")
# Those that tell what a panel shows, but not how it was asked: neither its definition nor its conditions.
FORMATS_FOR_GUESTS: Final = ("svg", "png", "csv", "json")
_MEDIA_TYPES: Final = {"svg": "image/svg+xml", "png": "image/png", "vl": "application/json"}
_PICTURES: Final[dict[str, PictureFormat]] = {"svg": "svg", "png": "png"}
_NOT_NOW: Final = "This panel cannot be shown now."
# The parameters of a picture.
THEME: Final = one_of("theme", get_args(Theme))
PICTURE: Final = (number("width", *PIXELS), number("height", *PIXELS), THEME)
_WIDTH = 800
# Sentences that name nothing but numbers and intervals: nobody learns from them how something was asked.
_PLAIN: Final = re.compile(
    r"[\d,]+ of [\d,]+ figures stand on too few events to rely on(: fewer than [\d,]+)?\."
    r"|In [\d,]+ of [\d,]+ rows there is a division by zero(, or a number beyond the largest that can be written)?: there is no figure\."
    # Columns of every metric, whatever it measures.
    r"|(figure|n|low|high|deviation|ratio|numerator|denominator) is null in [\d,]+ of [\d,]+ rows: it, or what it is computed"
    r" of, is beyond the largest number that can be written, 1\.8e\+308\."
    r"|The [\d,]+ largest of [\d,]+ groups are shown, the other [\d,]+ together as one\."
    r"|The first [\d,]+ of [\d,]+ rows\."
    r"|The (first|last) [a-z]+ (begins before 'from'|ends after 'to') and is counted in part\."
    r"|A funnel is counted over the whole time: it is not cut into intervals\."
    r"|Figures are per hour: each weekday's total divided by how often it came\."
)
# What a file calls its own columns; a field of that name is written by its long one.
_OWN: Final = ("metric", "unit", "notes")


@dataclass(frozen=True, slots=True)
class Exported:
    """A form of a panel as bytes."""

    body: bytes
    media_type: str


async def make_view(order: PanelOrder, kind: str) -> View:
    """Return a panel for one of its forms; what is to be a picture waits for its turn, unless nothing has to be asked.

    Raises RequestRefused (too_many_at_once, overloaded) where too many wait.
    """
    if kind not in _PICTURES:
        return await run_panel(order)
    found = recall_panel(order)
    if found is not None:
        return found
    async with order.asker.services.pictures.turn(order.asker.project, order.sender):
        return await run_panel(order)


async def export_panel(
    order: PanelOrder, view: View, kind: str, fields: dict[str, str], forms: tuple[str, ...] = FORMATS
) -> Exported:
    """Return a panel as svg, png, csv, json, vl (Vega-Lite) or question, whichever are in `forms`; raises RequestRefused.

    `view` is what `make_view` returned, perhaps without what guests may not read. `fields` may hold `width` and `height` in pixels and `theme` for pictures, as
    `PICTURE` allows them.
    """
    if kind not in forms:
        raise RequestRefused("not_found", f"There is no form {kind[:20]!r}. Forms: {', '.join(forms)}.")
    services, project = order.asker.services, order.asker.project
    made = await services.ask(project, _build, view, order.span, kind, fields)
    if kind not in _PICTURES:
        return made
    body = await services.pictures.draw(made.body, _PICTURES[kind], project, order.sender)
    return Exported(body, made.media_type)


def show_guests(view: View) -> View:
    """Return a panel without the sentences that say how it was asked: names of events and fields, and its conditions.

    Such sentences tell its people why there is nothing to show; who has no more than the panel can do nothing about it.
    A metric's caveat is its author's word to all who look at it, and stays; the names of what a formula is made of do not.
    """
    asked = msgspec.to_builtins(view.questions)
    terms = sorted({re.escape(term) for term in _names(asked) if term}, key=len, reverse=True)
    # A formula's parts are no questions of its own: of what is said about those only the chart's own words are safe.
    opaque = any(isinstance(one, Formula) for one in view.metrics)
    telling = re.compile(rf"(?<!\w)(?:{'|'.join(terms)})(?!\w)") if terms else None
    drawn = view.chart.notes if view.chart else []

    def fits(note: str) -> bool:
        known = note in drawn or note in (NO_FIGURE, FAULT) or _PLAIN.fullmatch(note)
        return bool(known) or not (opaque or (telling and telling.search(note)))

    def show(notes: Sequence[str]) -> list[str]:
        caveats = [next((one for one in view.caveats if note.endswith(one)), "") for note in notes]
        shown = [said or note for note, said in zip(notes, caveats, strict=True) if said or fits(note)]
        return list(dict.fromkeys(shown))

    return replace(
        view,
        notes=show(view.notes),
        asked=[msgspec.structs.replace(one, notes=show(one.notes)) for one in view.asked],
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
            "notes": [*view.told, *view.notes],
        }
        return Exported(msgspec.json.encode(shown), "application/json")
    if kind == "question":
        questions = [msgspec.to_builtins(question) for question in view.questions]
        return Exported(msgspec.json.encode({"span": span, "questions": questions}), "application/json")
    theme: Theme = "dark" if fields.get("theme") == "dark" else "light"
    width, height = int(fields.get("width") or _WIDTH), int(fields.get("height") or 0)
    spec = msgspec.json.encode(build_picture(view, span, theme, width, height))
    return Exported(spec, _MEDIA_TYPES[kind])


def _render_csv(view: View) -> bytes:
    """Return all figures as one table: the metric, the columns that any of them has, the unit, what must be said.

    What must be said stands in the first row of its metric, in a column of its own: a comment would be no row to most
    readers. Of a metric without a row it stands in the first row of all.
    """
    names: list[str] = []
    rows: list[dict[str, Cell]] = []
    left: list[str] = []
    for place, asked in enumerate(view.asked):
        own = [f"attributes.{one.name}" if one.name in _OWN else one.name for one in asked.columns]
        names += [name for name in own if name not in names]
        about: dict[str, Cell] = {"metric": view.titles[place], "unit": _find_unit(view, asked)}
        found = [{**about, **dict(zip(own, cells, strict=True))} for cells in _name_groups(view, asked)]
        if found:
            found[0]["notes"] = " ".join(asked.notes) or None
        else:
            left += asked.notes
        rows += found
    if rows and left:
        rows[0]["notes"] = " ".join([str(rows[0]["notes"] or ""), *left]).strip()
    header = ["metric", *names, "unit", *(["notes"] if any(row.get("notes") for row in rows) else [])]
    table = [[row.get(name) for name in header] for row in rows]
    return render_answer(
        Answer(tuple(Column(name, "text") for name in header), table, [], Cost(0)), "text/csv"
    )


def _find_unit(view: View, asked: Figures | Answer) -> str:
    """Return the unit of a metric's figures; of a histogram that of its edges."""
    if isinstance(asked, Figures):
        return next((one.unit or "" for one in asked.columns if one.name == FIGURE), asked.unit)
    return view.metrics[0].figure_unit if view.panel.kind == "histogram" else ""


def _name_groups(view: View, asked: Figures | Answer) -> list[list[Cell]]:
    """Return the rows with `(none)` for a group of what lacks the field, and `(8 others)` for all others together.

    A group of the empty text is as it is. Where several metrics have the same groups, how many others there are was
    counted for the first that has any row.
    """
    names = [column.name for column in asked.columns]
    fields = [place for place, name in enumerate(names) if name in view.panel.breakdown]
    counted = next(one for one in view.asked if one.rows or one is asked)
    rows = []
    for row in asked.rows:
        cells = list(row)
        others = _count_others(asked, row)
        if others and counted is not asked:
            others = max(_count_others(counted, one) for one in counted.rows)
            cells[names.index(GROUPS)] = others or None
        for place in fields:
            if _count_others(asked, row):
                cells[place] = f"({others:,} others)" if others else "(others)"
            elif cells[place] is None:
                cells[place] = "(none)"
        rows.append(cells)
    return rows


def _count_others(asked: Figures | Answer, row: list[Cell]) -> int:
    """Return how many groups stand together in a row, 0 where it is one."""
    places = [place for place, column in enumerate(asked.columns) if column.name == GROUPS]
    gathered = row[places[0]] if places else 1
    return gathered if isinstance(gathered, int) and gathered > 1 else 0
