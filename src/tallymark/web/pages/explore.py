"""`/explore`: a trend, ratio or funnel by choosing from what exists; chart, table, and the question to copy.

The whole state stands in the link. `/explore.csv` is the same answer as a file, `/explore/choices` what the page's
script offers while somebody types.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, get_args
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler

from tallymark.errors import RequestRefused, TallymarkError
from tallymark.metrics.steps import write_steps
from tallymark.plan.from_question import build_metric
from tallymark.plan.kinds import BY_NAME
from tallymark.plan.kinds.dashboard import PanelKind, list_panel_kinds
from tallymark.plan.objects import parse_object
from tallymark.queries.kinds import Question
from tallymark.queries.kinds.funnel import Funnel
from tallymark.queries.names import EventName, FieldInfos, find_event_names, find_fields, list_values
from tallymark.queries.parse import parse_question
from tallymark.queries.question import Interval, MeasureOp
from tallymark.queries.result import Answer, render_answer
from tallymark.queries.run import run_question
from tallymark.web.answers import render_json
from tallymark.web.boards import find_dashboard, list_boards
from tallymark.web.chart_words import describe_question
from tallymark.web.charts import build_chart
from tallymark.web.defining import Made, save_objects
from tallymark.web.drills import build_drills
from tallymark.web.filter_rows import OPERATOR_WORDS
from tallymark.web.pages.dashboard_edit import build_panel
from tallymark.web.pages.explore_form import (
    FORM_FIELDS,
    KINDS,
    MAX_PARTS,
    ExploreForm,
    Part,
    build_question,
    check_left_out,
    find_input,
    fit_parts,
    form_of,
    parse_form,
    render_form,
)
from tallymark.web.pages.html import SECURITY_HEADERS, build_link, render_html, render_move
from tallymark.web.pages.routes import find_status, get_page, post_page
from tallymark.web.pages.sessions import Visit, open_form, open_visit
from tallymark.web.pages.snippets import Snippet, build_question_snippets, build_send_snippets
from tallymark.web.pages.static import runtime_version
from tallymark.web.parameters import free, handled, one_of
from tallymark.web.services import Services
from tallymark.web.tables import Table, build_table

# Which list is asked for; without it fields, or values of the one that is named.
_WHAT: Final = one_of("what", ("names", "fields"))
_ROWS: Final = 500
_PRESETS: Final = (
    ("24 hours", 1, "hour"),
    ("7 days", 7, "hour"),
    ("30 days", 30, "day"),
    ("90 days", 90, "day"),
    ("12 months", 365, "week"),
)
_DEFAULT_DAYS: Final = 30
# What is said of a metric besides its question.
_ABOUT: Final = ("name", "title", "owner", "unit")
OP_WORDS: Final = {
    "count": "number of",
    "unique": "unique",
    "sum": "sum of",
    "average": "average",
    "minimum": "minimum",
    "maximum": "maximum",
    "quantile": "quantile",
    "last": "last",
    "deviation": "deviation of",
}


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""

    @get_page("/explore", *FORM_FIELDS, handled("q"))
    async def show_explore(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Show the form, and below it the answer."""
        visit = await open_visit(request, services)
        form = _read_form(visit)
        names = await services.ask(visit.project, _names, services, visit.project, form)
        form = _complete(form, names.names, services.clock.now())
        link = [("project", visit.project), *render_form(form)]
        if link != visit.pairs:
            return render_move("/explore?" + urlencode(link))
        values = await services.ask(visit.project, _read_answer, services, visit, form, names)
        return render_html(request, "explore.html", visit.page("/explore", **values), values["status"])

    @get_page("/explore.csv", *FORM_FIELDS, handled("q"))
    async def download(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Return the answer as CSV, whole."""
        visit = await open_visit(request, services)
        question = parse_question(build_question(_read_form(visit)))
        content = await services.ask(visit.project, _render_csv, services, visit.project, question)
        name = f'attachment; filename="{visit.project}-{_kind(question)}.csv"'
        return Response(
            content,
            media_type="text/csv",
            headers={**SECURITY_HEADERS, "Content-Disposition": name, "Cache-Control": "no-store"},
        )

    @get_page("/explore/choices", _WHAT, free("event"), free("field"), free("containing"))
    async def offer_choices(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Return names (`what=names`), fields of an event name or of all, or frequent values of one of those, as JSON."""
        visit = await open_visit(request, services)
        choices = await services.ask(visit.project, _find_choices, services, visit)
        response = render_json(choices)
        response.headers.update({**SECURITY_HEADERS, "Cache-Control": "no-store"})
        return response

    @post_page("/metric/save")
    async def save_metric(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Make a metric of the question in `q`, and a panel of it where a dashboard is chosen; a refusal shows Explore again."""
        visit = await open_form(request, services)
        question = parse_question(visit.fields.get("q", "").encode())
        try:
            return render_move(await services.read(visit.project, _save, services, visit, question))
        except RequestRefused as refused:
            form = form_of(msgspec.to_builtins(question))
            names = await services.ask(visit.project, _names, services, visit.project, form)
            values = await services.ask(visit.project, _read_answer, services, visit, form, names)
            values |= {"save_problem": refused.message}
            return render_html(request, "explore.html", visit.page("/explore", **values), refused.status)

    return [show_explore, download, offer_choices, save_metric]


class _Names(msgspec.Struct):
    """The most frequent names that exist and those asked for, how many there are, and why that could not be read."""

    names: list[EventName] = []
    total: int = 0
    problem: str = ""


def _names(services: Services, project: str, form: ExploreForm) -> _Names:
    try:
        chosen = [part.event for part in form.parts]
        found = find_event_names(services.store, project, always=chosen, limits=services.query_limits)
        return _Names(found.names, found.total)
    except TallymarkError as error:
        return _Names(problem=error.message)


def _kind(question: Question) -> str:
    return str(type(question).__struct_config__.tag)


def _read_form(visit: Visit) -> ExploreForm:
    """Return the form of the link; a question as JSON in `q` wins over the other fields."""
    text = visit.fields.get("q", "").strip()
    if text:
        return form_of(msgspec.to_builtins(parse_question(text.encode())))
    form = parse_form(visit.pairs)
    check_left_out(form)
    return form


def _complete(form: ExploreForm, names: list[EventName], now: datetime) -> ExploreForm:
    """Fill in what was not chosen: the most frequent event, and the thirty days up to the newest of the chosen ones."""
    parts = form.parts or tuple(Part(name.name) for name in names[:1])
    if form.kind == "ratio" and len(parts) == 1 and names:
        parts = (*parts, Part(names[0].name))
    start, end = _default_days(_chosen(parts, names), now, _DEFAULT_DAYS)
    untouched = not form.start and not form.end and not form.parts
    interval = form.interval or ("day" if untouched and form.kind != "funnel" else "")
    return replace(form, parts=parts, start=form.start or start, end=form.end or end, interval=interval)


def _chosen(parts: tuple[Part, ...], names: list[EventName]) -> list[EventName]:
    """Return the event names that are asked for; where none of them exists, all."""
    wanted = {part.event for part in parts}
    return [name for name in names if name.name in wanted] or names


def _default_days(names: list[EventName], now: datetime, days: int) -> tuple[str, str]:
    """Return the whole days (UTC) that end with the newest event, or with today when that is close."""
    newest = max((datetime.fromisoformat(name.last_time) for name in names), default=now)
    if now - newest < timedelta(days=2) or newest > now:
        newest = now
    end = newest.astimezone(UTC).date() + timedelta(days=1)
    return (end - timedelta(days=days)).isoformat(), end.isoformat()


def _read_answer(services: Services, visit: Visit, form: ExploreForm, found: _Names) -> dict[str, Any]:
    """Ask, and gather what the page shows; blocking."""
    names, error, answer, question = found.names, None, None, None
    status = 200
    try:
        if names:
            question = parse_question(build_question(form))
            answer = run_question(question, services.store, visit.project, services.query_limits)
    except TallymarkError as failed:
        error = {
            "at": find_input(failed.at),
            "message": failed.message,
            "code": failed.code,
            "place": failed.at,
        }
        status = find_status(failed)
    choose = services.palette.of(visit.project)
    drills = build_drills(question, answer, visit.project, _ROWS) if question and answer else []
    now = services.clock.now()
    chart = build_chart(question, answer, choose, drills, now=now) if question and answer else None
    return {
        "status": status,
        "form": form,
        "names": names,
        "problem": found.problem,
        "names_total": found.total,
        **_list_fields(services, visit.project, form if names else None),
        "error": error,
        "question": question,
        "asked": msgspec.json.encode(question).decode() if question else "",
        "answer": answer,
        "headline": describe_question(question) if question else "",
        "table": _build_table(question, answer, drills, form.interval),
        "chart": chart,
        "snippets": _snippets(form, visit) if question else build_send_snippets(visit.address),
        "operators": OPERATOR_WORDS,
        "ops": [(op, OP_WORDS[op]) for op in get_args(MeasureOp)],
        "intervals": get_args(Interval),
        "tabs": [(kind, _link(visit, fit_parts(form, kind))) for kind in KINDS],
        "presets": _presets(visit, form, names, services.clock.now()),
        "csv": "/explore.csv?" + urlencode([("project", visit.project), *render_form(form)]),
        "most_parts": MAX_PARTS,
        "runtime": runtime_version(),
        **_offer_saving(services, visit, question),
    }


def _build_table(
    question: Question | None, answer: Answer | None, drills: list[str], interval: str
) -> Table | None:
    """Return the answer as texts; a funnel's shares with the digits that they have elsewhere."""
    if answer is None:
        return None
    return build_table(
        write_steps(answer) if isinstance(question, Funnel) else answer, _ROWS, drills, interval
    )


def _offer_saving(services: Services, visit: Visit, question: Question | None) -> dict[str, Any]:
    """Return what the form shows that saves the question: what was typed, and where a panel of it can be put as what."""
    typed = {name: visit.fields.get(name, "").strip() for name in (*_ABOUT, "board", "as")}
    shown = {"typed": typed, "boards": [], "panel_kinds": [], "save_problem": ""}
    if question is None:
        return shown
    boards = list_boards(services.definitions.list(visit.project, "dashboard"))
    kinds = _panel_kinds(question)
    typed["as"] = typed["as"] or next((one for one in _likely_kinds(question) if one in kinds), "")
    return {**shown, "boards": boards, "panel_kinds": kinds}


def _panel_kinds(question: Question) -> list[str]:
    """Return the kinds of panel that the question can be shown as, with its breakdown; all where none can."""
    try:
        metric = build_metric(question, {"name": "trial"})
    except RequestRefused:
        return list(get_args(PanelKind))
    return list_panel_kinds(metric, question.breakdown) or list(get_args(PanelKind))


def _likely_kinds(question: Question) -> tuple[str, ...]:
    """Return the kinds of panel by how near they are to what Explore shows."""
    over_time = bool(getattr(question, "interval", None))
    return (
        ("funnel", "line", "bar")
        if over_time
        else ("funnel", "bar" if question.breakdown else "number", "table")
    )


def _save(services: Services, visit: Visit, question: Question) -> str:
    """Save the question as a metric, and as a panel where a dashboard is chosen: both or neither. Return where to go."""
    about = {name: visit.fields.get(name, "").strip() for name in _ABOUT}
    # Through the decoder, which checks names and lengths.
    metric = parse_object(BY_NAME["metric"], msgspec.to_builtins(build_metric(question, about)))
    present = services.definitions.list(visit.project)
    for one in present:
        if (one.kind, one.name) == ("metric", metric.name):
            where = f", in {one.file}" if one.origin else ""
            message = f"There is a metric {metric.name!r} already{where}. Choose another name."
            raise RequestRefused("owned_by_file" if one.origin else "conflict", message, at="name")
    made: list[Made] = [(BY_NAME["metric"], metric, 0)]
    target = build_link("/metric", project=visit.project, name=metric.name, by=" ".join(question.breakdown))
    name = visit.fields.get("board", "")
    if name:
        found, dashboard = find_dashboard(services, visit.project, name, at="board")
        if found.origin:
            message = f"The dashboard {name!r} stands in {found.file}. Put the panel there and run 'tallymark apply'."
            raise RequestRefused("owned_by_file", message, at="board")
        panel = build_panel(dashboard, metric.name, visit.fields.get("as", ""), question.breakdown)
        dashboard = msgspec.structs.replace(dashboard, panels=(*dashboard.panels, panel))
        made.append((BY_NAME["dashboard"], dashboard, found.version))
        target = build_link("/dashboard", project=visit.project, name=name) + f"#panel-{panel.name}"
    save_objects(services, visit.project, made, visit.session.person)
    return target


def _snippets(form: ExploreForm, visit: Visit) -> list[Snippet]:
    return build_question_snippets(build_question(form), visit.address)


def _list_fields(services: Services, project: str, form: ExploreForm | None) -> dict[str, Any]:
    """Return the fields to choose from and how many there are; none where they cannot be read or nothing is there."""
    found = FieldInfos([], 0)
    if form is not None:
        with suppress(TallymarkError):
            event = form.parts[0].event if form.parts else None
            found = find_fields(services.store, project, event, limits=services.query_limits)
    return {"known": found.fields, "known_total": found.total}


def _link(visit: Visit, form: ExploreForm) -> str:
    return "/explore?" + urlencode([("project", visit.project), *render_form(form)])


def _presets(
    visit: Visit, form: ExploreForm, names: list[EventName], now: datetime
) -> list[tuple[str, str, bool]]:
    """Return (title, link, whether it is the present choice) for lengths of time up to the newest event."""
    presets = []
    for title, days, interval in _PRESETS:
        start, end = _default_days(_chosen(form.parts, names), now, days)
        chosen = replace(form, start=start, end=end, interval=interval if form.interval else "")
        presets.append((title, _link(visit, chosen), (form.start, form.end) == (start, end)))
    return presets


def _render_csv(services: Services, project: str, question: Question) -> bytes:
    answer: Answer = run_question(question, services.store, project, services.query_limits)
    return render_answer(answer, "text/csv")


def _find_choices(services: Services, visit: Visit) -> dict[str, Any]:
    """Return what contains the typed text: event names, fields of a name or of all, or values of one field."""
    fields, store, project = visit.fields, services.store, visit.project
    what, event, field = fields.get("what", ""), fields.get("event", "") or None, fields.get("field", "")
    typed = fields.get("containing", "")
    if what == "names":
        names = find_event_names(store, project, containing=typed, limits=services.query_limits)
        return {"names": [one.name for one in names.names], "total": names.total}
    if field:
        values = list_values(store, project, event, field, containing=typed)
        return {"values": [str(value.value) for value in values if value.value not in (None, "")]}
    known = find_fields(store, project, event, containing=typed, limits=services.query_limits)
    return {"fields": [info.name for info in known.fields], "total": known.total}
