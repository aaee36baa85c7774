"""`/alerts`: how all of them stand, who is told, what nobody is told about. `/alert`: one of them, with what it did."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler

from tallymark.alerts.links import parse_token
from tallymark.alerts.pulse import is_stale
from tallymark.alerts.windows import find_last_end
from tallymark.alerts.words import name_values, spell_moment, write_judged, write_since
from tallymark.errors import RequestRefused, TallymarkError
from tallymark.plan.changes import collect_objects
from tallymark.plan.kinds import BY_NAME
from tallymark.plan.objects import render_yaml
from tallymark.web.alert_pictures import build_page_chart
from tallymark.web.alert_receivers import add_receiver, try_receiver
from tallymark.web.alert_states import Shown, find_alert, list_alerts, list_history, list_on_call
from tallymark.web.answers import parse_count, parse_span
from tallymark.web.asking import open_asker
from tallymark.web.defining import remove_object
from tallymark.web.pages.html import build_link, render_html, render_move
from tallymark.web.pages.routes import find_status, get_page, post_page
from tallymark.web.pages.sessions import Visit, open_form, open_visit
from tallymark.web.pages.static import runtime_version
from tallymark.web.parameters import ANYTHING, handled
from tallymark.web.previews import LAST_WEEK, open_questions, preview_alert
from tallymark.web.services import Services

log = structlog.get_logger("tallymark.web")

# How long something can be silenced for, as words of the form.
LENGTHS: Final[dict[str, timedelta]] = {
    "30 minutes": timedelta(minutes=30), "2 hours": timedelta(hours=2), "8 hours": timedelta(hours=8),
    "1 day": timedelta(days=1), "7 days": timedelta(days=7), "30 days": timedelta(days=30),
}  # fmt: skip
# Whoever holds a link may be anybody: what they say holds for a working day at most.
_BY_LINK: Final = {name: length for name, length in LENGTHS.items() if length <= timedelta(hours=8)}
_HISTORY: Final = 50
_SHOWN_VALUES: Final = 100


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""
    return [*_build_pages(services), *_build_forms(services), *_build_answers(services)]


def _build_pages(services: Services) -> list[HTTPRouteHandler]:
    @get_page("/alerts")
    async def show_alerts(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Show how all alerts stand, the worst first, with receivers, silences and what changed last."""
        visit = await open_visit(request, services)
        return await render_alerts(services, visit)

    @get_page("/alert", handled("name"), handled("from"), handled("to"))
    async def show_alert(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Show one alert: its values, its course with the times of trouble, what it did, and a replay where one is asked for."""
        visit = await open_visit(request, services)
        values = await services.ask(visit.project, _read_alert, services, visit, visit.fields.get("name", ""))
        replay = values["replay"]
        status = replay["status"] if replay else 200
        return render_html(request, "alert.html", visit.page("/alerts", **values), status)

    return [show_alerts, show_alert]


def _build_forms(services: Services) -> list[HTTPRouteHandler]:
    @post_page("/alert/silence")
    async def silence(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Silence an alert, or acknowledge its trouble, for a while and with a reason."""
        visit = await open_form(request, services)
        name = visit.fields.get("name", "")
        shown = (
            await services.read(visit.project, find_alert, services, visit.project, name) if name else None
        )
        incident = 0
        if visit.fields.get("what") == "acknowledge":
            incident = parse_count(visit.fields.get("incident"), "incident", 0, 2**53)
            _require_present(shown, incident)
        await services.read(
            visit.project,
            _silence,
            services,
            visit.project,
            name,
            incident,
            visit.fields,
            visit.session.person,
        )
        return render_move(_address(visit, name))

    @post_page("/alert/silence/end")
    async def end_silence(request: Request[Any, Any, Any]) -> Response[bytes]:
        """End a silence at once."""
        visit = await open_form(request, services)
        number = parse_count(visit.fields.get("id"), "id", 0, 2**31)
        await services.read(
            visit.project, services.desk.silences.end, number, visit.project, services.clock.now()
        )
        return render_move(_address(visit, visit.fields.get("name", "")))

    @post_page("/alert/remove")
    async def remove_alert(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Take an alert away that was made here."""
        visit = await open_form(request, services)
        name, seen = (
            visit.fields.get("name", ""),
            parse_count(visit.fields.get("version"), "version", 0, 2**31),
        )
        who = visit.session.person
        await services.read(
            visit.project, remove_object, services, visit.project, BY_NAME["alert"], name, seen=seen, who=who
        )
        return render_move(build_link("/alerts", project=visit.project))

    @post_page("/receivers")
    async def change_receivers(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Add a receiver (and try it), try one, or take one away, as `action` says."""
        visit = await open_form(request, services)
        said, refusal = "", None
        try:
            said = await services.send(visit.project, _change_receiver, services, visit)
        except RequestRefused as refused:
            refusal = refused
        return await render_alerts(services, visit, said=said, refusal=refusal)

    return [silence, end_silence, remove_alert, change_receivers]


def _build_answers(services: Services) -> list[HTTPRouteHandler]:
    """Build the page behind the link in a message: whoever holds it may answer for this trouble, without signing in."""

    async def answer(
        request: Request[Any, Any, Any], token: str, *, done: str = "", problem: str = "", status: int = 200
    ) -> Response[bytes]:
        grant = parse_token(token, services.secret, services.clock.now())
        if grant is None:
            raise RequestRefused("not_found", "This link is over, or it was altered.")
        shown = await services.read(grant.project, find_alert, services, grant.project, grant.alert)
        over = shown.incident != grant.incident
        values = {
            "shown": shown,
            "token": token,
            "over": over,
            "done": done,
            "problem": problem,
            "lengths": list(_BY_LINK),
            "since": lambda when: write_since(shown.alert, when),
        }
        return render_html(request, "alert_answer.html", values, status)

    @get_page("/alert/answer/{token:str}", *ANYTHING)
    async def show_answer(request: Request[Any, Any, Any], token: str) -> Response[bytes]:
        """Ask what to do about the trouble that a message told."""
        return await answer(request, token)

    @post_page("/alert/answer/{token:str}")
    async def give_answer(request: Request[Any, Any, Any], token: str) -> Response[bytes]:
        """Acknowledge the trouble, or silence the alert."""
        grant = parse_token(token, services.secret, services.clock.now())
        if grant is None:
            raise RequestRefused("not_found", "This link is over, or it was altered.")
        form = await request.form()
        fields = {name: str(form.get(name, "")) for name in ("what", "reason", "length", "who")}
        incident = grant.incident if fields["what"] == "acknowledge" else 0
        who = f"{fields['who'].strip()[:80] or 'somebody'} (by a link)"
        shown = await services.read(grant.project, find_alert, services, grant.project, grant.alert)
        try:
            _require_present(shown, grant.incident)
            await services.read(
                grant.project, _silence, services, grant.project, grant.alert, incident, fields, who, _BY_LINK
            )
        except RequestRefused as refused:
            return await answer(request, token, problem=refused.message, status=refused.status)
        return await answer(request, token, done="acknowledged" if incident else "silenced")

    return [show_answer, give_answer]


async def render_alerts(
    services: Services, visit: Visit, *, said: str = "", refusal: RequestRefused | None = None
) -> Response[bytes]:
    """Return the page of all alerts."""
    values = await services.read(visit.project, _read_alerts, services, visit.project)
    page = visit.page(
        "/alerts", said=said, error=_tell(refusal), typed=visit.fields if refusal else {}, **values
    )
    return render_html(visit.request, "alerts.html", page, refusal.status if refusal else 200)


def _tell(refusal: RequestRefused | None) -> dict[str, str] | None:
    return {"at": refusal.at, "message": refusal.message} if refusal else None


def _read_alerts(services: Services, project: str) -> dict[str, Any]:
    now = services.clock.now()
    pulse = services.desk.read_pulse()
    shown = list_alerts(services, project)
    return {
        "shown": shown,
        "troubled": [one for one in shown if one.is_wrong],
        "receivers": services.desk.receivers.list(project),
        "on_call": list_on_call(services, project),
        "silences": services.desk.silences.list(project, now),
        "history": list_history(services, project, most=_HISTORY),
        "pulse": pulse,
        "stale": bool(shown) and is_stale(pulse, now),
        "lengths": list(LENGTHS),
        "names": name_values,
        "now": now,
    }


def _read_alert(services: Services, visit: Visit, name: str) -> dict[str, Any]:
    """Gather what the page of one alert shows; blocking."""
    shown = find_alert(services, visit.project, name)
    now = services.clock.now()
    history = list_history(services, visit.project, name, most=_HISTORY)
    asker = open_asker(services, visit.project)
    chart, problem = None, ""
    metric = asker.metrics.get(shown.alert.metric)
    if metric is not None:
        changes = services.desk.book.list_brief(visit.project, [name], now)
        step = (shown.watch.step if shown.watch else 0) or shown.alert.step
        last = find_last_end(step, shown.alert.timezone, shown.watch.judged_until if shown.watch else now)
        questions = open_questions(services, visit.project, asker.metrics)
        try:
            view = build_page_chart(
                shown.alert, asker.metrics, questions, dict(shown.values), last, step, changes, now
            )
            chart, problem = view.chart, view.problem
        except TallymarkError as error:
            problem = error.message
    return {
        "one": shown,
        "values": shown.values[:_SHOWN_VALUES],
        "more": max(0, len(shown.values) - _SHOWN_VALUES),
        "history": history,
        "chart": chart,
        "problem": problem,
        "metric": metric,
        "yaml": render_yaml({"alert": [shown.alert]}),
        "replay": _replay(services, visit, shown, now),
        "lengths": list(LENGTHS),
        "names": name_values,
        "since": lambda when: write_since(shown.alert, when),
        "moment": lambda when: spell_moment(when, shown.alert.timezone),
        "because": lambda judged: write_judged(shown.alert, judged, shown.unit),
        "runtime": runtime_version(),
        "now": now,
    }


def _replay(services: Services, visit: Visit, shown: Shown, now: datetime) -> dict[str, Any] | None:
    """Return when the alert would have fired, where the address asks for that."""
    if not {"from", "to"} & visit.fields.keys():
        return None
    found: dict[str, Any] = {
        "status": 200,
        "from": visit.fields.get("from", ""),
        "to": visit.fields.get("to", ""),
        "problem": "",
        "preview": None,
    }
    metrics = collect_objects(services.definitions.list(visit.project, "metric"))["metric"]
    try:
        start, end = parse_span(visit.fields, now, LAST_WEEK)
        found["preview"] = preview_alert(services, visit.project, shown.alert, metrics, start, min(end, now))
    except TallymarkError as error:
        found |= {"problem": error.message, "status": find_status(error)}
    return found


def _require_present(shown: Shown | None, incident: int) -> None:
    """Raise RequestRefused (conflict) for an answer to a trouble that is not the present one: silence would be all it makes."""
    if shown is None or incident == 0 or shown.incident != incident:
        message = "The trouble that you answer is over, or another one by now. Look at how the alert stands."
        raise RequestRefused("conflict", message, at="incident")


def _silence(
    services: Services,
    project: str,
    alert: str,
    incident: int,
    fields: dict[str, str],
    who: str,
    lengths: dict[str, timedelta] = LENGTHS,
) -> None:
    length = lengths.get(fields.get("length", ""))
    if length is None:
        raise RequestRefused("invalid_request", f"For how long? Allowed: {', '.join(lengths)}.", at="length")
    now = services.clock.now()
    silences = services.desk.silences
    silences.create(project, alert, fields.get("reason", ""), who, now, now + length, incident=incident)


def _change_receiver(services: Services, visit: Visit) -> str:
    """Do what the form says; returns what to say about it."""
    action, name = visit.fields.get("action", ""), visit.fields.get("name", "").strip()
    if action == "remove":
        services.desk.receivers.remove(visit.project, name)
        return f"{name} is not told any more."
    if action == "test":
        error = try_receiver(services, visit.project, name)
        if error:
            raise RequestRefused("invalid_request", f"{name} was not reached: {error}", at="test")
        return f"{name} took a test message."
    owners = visit.fields.get("owners", "").split(",")
    added = add_receiver(
        services, visit.project, name, visit.fields.get("url", ""), owners, visit.session.person
    )
    if action == "add_and_try":
        error = try_receiver(services, visit.project, name)
        if error:
            raise RequestRefused(
                "invalid_request", f"{name} is saved, and a test message did not arrive: {error}", at="test"
            )
        return f"{name} is told from now on. It took a test message."
    return f"{name} is saved. {added.warning or 'Nothing was sent to it yet: press Try.'}"


def _address(visit: Visit, name: str) -> str:
    return build_link("/alert" if name else "/alerts", project=visit.project, name=name)
