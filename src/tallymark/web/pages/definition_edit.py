"""`/definition`: a metric, dashboard or alert as YAML, to be changed or made anew. `/metric/remove`: taking one away.

The form says which version it was made from. Whatever is not saved comes back on the same page with the text as it was
typed: mistakes with their lines, and what somebody else saved meanwhile.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any, Final

from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler

from tallymark.catalog.definitions import Definition
from tallymark.errors import RequestRefused
from tallymark.plan.changes import collect_objects
from tallymark.plan.drafts import compare_lines, excerpt, read_draft
from tallymark.plan.fields import begin_text, describe_fields, list_choices
from tallymark.plan.files import Problem
from tallymark.plan.kinds import BY_NAME, Kind
from tallymark.plan.kinds.alert import Alert
from tallymark.plan.kinds.metric import Conversion
from tallymark.plan.objects import decode_object, render_yaml
from tallymark.web.answers import parse_count
from tallymark.web.defining import not_found, remove_object, save_object
from tallymark.web.foretelling import foretell
from tallymark.web.pages.html import build_link, render_html, render_move
from tallymark.web.pages.routes import get_page, post_page
from tallymark.web.pages.sessions import Visit, open_form, open_visit
from tallymark.web.parameters import handled
from tallymark.web.services import Services

# Forty panels with everything that people give them, as a browser sends them: up to three bytes for a byte.
_TEXT_BYTES: Final = 256 * 1024
_LISTS: Final = {"metric": "/catalogue", "dashboard": "/dashboards", "alert": "/alerts", "rota": "/alerts"}
# The page of one; a rota stands among the alerts.
_PAGES: Final = {"metric": "/metric", "dashboard": "/dashboard", "alert": "/alert", "rota": "/alerts"}
_ROWS: Final = (14, 32)


@dataclass(frozen=True, slots=True)
class Edit:
    """What the page shows: the text, the object's name and version (0: there is none yet), and why it is not saved."""

    kind: Kind
    text: str
    name: str = ""
    version: int = 0
    choice: str = ""
    problems: tuple[Problem, ...] = ()
    refusal: RequestRefused | None = None
    present: Definition | None = None
    # What to think about before it is saved, and what a form brings that was sent all the same.
    warning: str = field(default="", kw_only=True)
    sure: str = field(default="", kw_only=True)
    # The name under which it was saved, for where to go then.
    saved: str = field(default="", kw_only=True)

    @property
    def status(self) -> int:
        """The status of the answer."""
        return self.refusal.status if self.refusal else 400 if self.problems else 409 if self.warning else 200

    @property
    def mark(self) -> str:
        """What tells this text from others: who is sure of one is not sure of the next."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @property
    def has_other(self) -> bool:
        """Tell whether there is another text to be seen beside this one."""
        return self.refusal is not None and self.refusal.code in ("conflict", "owned_by_file")


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""

    @get_page("/definition", handled("kind"), handled("name"), handled("metric"), handled("of"))
    async def show_definition(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Show the definition `name` of a `kind`; without a name a new one, of a metric as `of` says."""
        visit = await open_visit(request, services)
        edit = await services.read(visit.project, _begin, services, visit, _find_kind(visit))
        values = await services.ask(visit.project, _gather, services, visit, edit)
        return render_html(request, "definition.html", values)

    @post_page("/definition")
    async def save_definition(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Save the definition, or show it again with what is wrong."""
        visit = await open_form(request, services, _TEXT_BYTES)
        edit = await services.read(
            visit.project, _save, services, visit, _read_form(visit, _find_kind(visit))
        )
        if edit.saved:
            return render_move(build_link(_PAGES[edit.kind.name], project=visit.project, name=edit.saved))
        values = await services.ask(visit.project, _gather, services, visit, edit)
        return render_html(request, "definition.html", values, edit.status)

    @post_page("/metric/remove")
    async def remove_metric(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Remove a metric that was made here and that nothing uses."""
        visit = await open_form(request, services)
        name, who = visit.fields.get("name", ""), visit.session.person
        seen = parse_count(visit.fields.get("version"), "version", 0, 2**31)
        kind = BY_NAME["metric"]
        await services.read(
            visit.project, remove_object, services, visit.project, kind, name, seen=seen, who=who
        )
        return render_move(build_link(_LISTS["metric"], project=visit.project))

    return [show_definition, save_definition, remove_metric]


def _find_kind(visit: Visit) -> Kind:
    name = visit.fields.get("kind", "")
    if name not in BY_NAME:
        raise RequestRefused(
            "not_found", f"There is no kind {name[:40]!r}. Allowed: {', '.join(BY_NAME)}.", at="kind"
        )
    return BY_NAME[name]


def _begin(services: Services, visit: Visit, kind: Kind) -> Edit:
    """Return the definition that the address names, or a new one; blocking."""
    name, of = visit.fields.get("name", ""), visit.fields.get("of", "")
    choices = list_choices(kind.name)
    if of and of not in choices:
        allowed = f"Allowed: {', '.join(choices)}." if choices else f"A {kind.name} has no kinds."
        message = f"{of[:40]!r} is no kind of {kind.name}. {allowed}"
        raise RequestRefused("invalid_request", message, at="of")
    if not name:
        choice = _find_choice(visit, kind)
        metrics = collect_objects(services.definitions.list(visit.project, "metric"))["metric"]
        # Neither a formula nor a line can show a funnel.
        usable = [one.name for one in metrics.values() if not isinstance(one, Conversion)]
        # Whoever comes from a metric wants that one.
        wanted = visit.fields.get("metric", "")
        if wanted and wanted not in metrics:
            raise RequestRefused("not_found", f"There is no metric {wanted[:80]!r}.", at="metric")
        usable = [wanted, *usable] if wanted else usable
        return Edit(kind, begin_text(kind, choice, usable), choice=choice)
    found = services.definitions.find(visit.project, kind.name, name)
    if found is None:
        raise not_found(kind, name)
    one = decode_object(kind.name, found.body)
    text = render_yaml({kind.name: [one]})
    return Edit(kind, text, name, found.version, one.__struct_config__.tag or "", present=found)


def _read_form(visit: Visit, kind: Kind) -> Edit:
    fields = visit.fields
    # Browsers send lines as networks do.
    text = fields.get("text", "").replace("\r\n", "\n").replace("\r", "\n")
    version = parse_count(fields.get("version"), "version", 0, 2**31)
    choice, sure = _find_choice(visit, kind), fields.get("sure", "")
    return Edit(kind, text, fields.get("name", ""), version, choice, sure=sure)


def _find_choice(visit: Visit, kind: Kind) -> str:
    """Return the kind of metric that is begun or being edited, the first where none is said."""
    choices = list_choices(kind.name)
    wanted = visit.fields.get("of", "")
    # A form never comes back without the text that was typed into it, whatever else it says.
    return wanted if wanted in choices else next(iter(choices), "")


def _save(services: Services, visit: Visit, edit: Edit) -> Edit:
    """Check the text and save it; blocking. Returns the edit with `saved`, or with what stands against it."""
    kind, definitions = edit.kind, services.definitions
    objects = collect_objects(definitions.list(visit.project))
    draft = read_draft(kind, edit.name, edit.text, objects)
    if draft.problems:
        present = definitions.find(visit.project, kind.name, edit.name) if edit.name else None
        return replace(edit, problems=draft.problems, present=present)
    if isinstance(draft.one, Alert) and edit.sure != edit.mark:
        warning = foretell(services, visit.project, draft.one, objects["metric"])
        if warning:
            return replace(edit, warning=warning)
    try:
        save_object(services, visit.project, kind, draft.one, seen=edit.version, who=visit.session.person)
    except RequestRefused as refusal:
        present = definitions.find(visit.project, kind.name, draft.one.name)
        # Who has seen the other text may save over it; a new object never takes the place of another one.
        if refusal.code == "conflict":
            edit = replace(edit, version=present.version if present and edit.name else 0)
        return replace(edit, refusal=refusal, present=present)
    return replace(edit, saved=draft.one.name)


def _gather(services: Services, visit: Visit, edit: Edit) -> dict[str, Any]:
    """Return what the template needs; blocking, since writing a long text takes a while."""
    kind, present = edit.kind, edit.present
    theirs = render_yaml({kind.name: [decode_object(kind.name, present.body)]}) if present else ""
    there = bool(edit.name and present)
    return visit.page(
        _LISTS[kind.name],
        edit=edit,
        kind=kind,
        owned=present.file if edit.name and present and present.origin else "",
        problems=[
            (one, one.path.removeprefix(f"{kind.plural}[0]").lstrip("."), excerpt(edit.text, one))
            for one in edit.problems
        ],
        theirs=compare_lines(theirs, edit.text) if present and edit.has_other else [],
        back=build_link(
            (_PAGES if there else _LISTS)[kind.name],
            project=visit.project,
            name=edit.name if there else "",
        ),
        choices=list_choices(kind.name),
        tables=describe_fields(kind.name),
        # These stand open: what all have, the kind at hand, and what a dashboard is made of.
        opened=(describe_fields(kind.name)[0].name, edit.choice, "panel"),
        rows=max(_ROWS[0], min(_ROWS[1], edit.text.count("\n") + 3)),
        now=services.clock.now(),
    )
