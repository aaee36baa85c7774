"""From changes to a message: one sentence of what happened, then what is known, as plain text and as HTML.

Pure. Comes in: the changes that go out together, what is wrong besides, and the addresses of pages. Goes out: a message without
its picture. A message of several alerts is a list of their sentences.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any, Final

import msgspec

from tallymark.alerts.batches import Batch
from tallymark.alerts.changes import ChangeRow
from tallymark.alerts.conditions import Judged
from tallymark.alerts.links import Links
from tallymark.alerts.outlets import Message
from tallymark.alerts.standing import OPEN, had_data, is_silent
from tallymark.alerts.words import (
    STATE_WORDS,
    name_values,
    write_clause,
    write_condition,
    write_days,
    write_duration,
    write_judged,
    write_list,
    write_since,
)

# So many values of a breakdown are named, and so many alerts; the pages have them all.
_NAMED: Final = 10
_LISTED: Final = 50
_SIGNS: Final = {"page": "PAGE", "warning": "Warning", "info": "Info"}
_WRONG, _WELL = "#b3261e", "#1b6e3c"


@dataclass(frozen=True, slots=True)
class _Story:
    """What a message says of one alert: `wrong` and `over` are its news, `rest` is wrong besides."""

    batch: Batch
    lead: ChangeRow
    wrong: list[ChangeRow]
    over: list[ChangeRow]
    rest: list[ChangeRow]

    @property
    def is_over(self) -> bool:
        """Whether nothing is wrong any more."""
        return not self.wrong and not self.rest


def build_message(batch: Batch, links: Links, now: datetime) -> Message:
    """Return what a receiver is told."""
    if batch.others:
        return _build_list(batch, links)
    story = _read_story(batch)
    title = _build_title(story)
    facts = _list_facts(story, now)
    anchors = _list_links(story, links)
    rows = [("", title), *facts, *anchors]
    return Message(
        title=title,
        text="\n".join(f"{name}: {value}" if name else f"{value}\n" for name, value in rows),
        html=_render_html(title, facts, anchors, story.is_over),
        key=batch.key,
        id=f"{batch.key}-{batch.id}",
        kind="over" if story.is_over else "trouble",
        facts=_list_data(story, links),
    )


def _read_story(batch: Batch) -> _Story:
    """Sort what is told: the last change of each value. Trouble that was over before anybody was told is told with its end."""
    changes = list({one.values: one for one in sorted(batch.changes, key=lambda one: one.id)}.values())
    wrong = [one for one in changes if one.after in OPEN]
    again = {one.values for one in batch.still}
    over = [one for one in changes if one.is_over and one.values not in again]
    rest = [one for one in batch.still if one.values not in {value.values for value in wrong}]
    return _Story(batch, (wrong or over or changes)[0], wrong, over, rest)


def _build_list(batch: Batch, links: Links) -> Message:
    """Return a message of several alerts, what is worst first: a sentence and a page of each, and all for programs."""
    stories = sorted((_read_story(part) for part in batch.parts), key=_rank)
    wrong = [story for story in stories if not story.is_over]
    shown = wrong or stories
    names = write_list([_name(story.lead) for story in shown], 3)
    sign = _SIGNS[shown[0].lead.severity] if wrong else "Over"
    what = f"{len(shown)} alerts"
    if wrong and all(is_silent(one.lead.values, one.lead.cause.standing) for one in wrong):
        what = f"The project {batch.project} is silent: no data for {what}"
    elif wrong and all(_never_had_data(one.lead) for one in wrong):
        what += " never had any data"
    title = f"{sign}: {what}: {names}"
    if wrong and len(wrong) < len(stories):
        title += f"; {len(stories) - len(wrong)} over"
    lines, rows = [title, ""], []
    for story in stories[:_LISTED]:
        sentence, (page, answer) = _build_title(story), links.parts.get(story.batch.key, ("", ""))
        lines += [sentence, *filter(None, [page]), ""]
        anchors = [("Page", page), ("Acknowledge or silence", "" if story.is_over else answer)]
        rows.append((sentence, [anchor for anchor in anchors if anchor[1]]))
    rest = f"and {len(stories) - _LISTED} more" if len(stories) > _LISTED else ""
    key = hashlib.sha256(f"{batch.project}\0{batch.receiver}\0{batch.id}".encode()).hexdigest()[:24]
    return Message(
        title=title,
        text="\n".join([*lines, *filter(None, [rest]), f"All alerts: {links.alerts}" if links.alerts else ""]).strip(),
        html=_render_list(title, rows, rest, links.alerts, not wrong),
        key=key,
        id=f"{key}-{batch.id}",
        kind="trouble" if wrong else "over",
        facts={"project": batch.project, "link": links.alerts, "alerts": [_list_part(story, links) for story in stories]},
    )  # fmt: skip


def _never_had_data(change: ChangeRow) -> bool:
    standing = change.cause.standing
    # Where there is another reason events may have come all the time.
    is_explained = bool(_say_why_no_figure(standing.judged))
    return change.after == "no data" and not is_explained and not had_data(change.values, standing)


def _rank(story: _Story) -> tuple[bool, int, str]:
    return story.is_over, list(_SIGNS).index(story.lead.severity), story.batch.alert


def _name(one: ChangeRow) -> str:
    return one.cause.alert.title or one.cause.alert.name


def _names(changes: Sequence[ChangeRow]) -> str:
    return write_list([name_values(one.values) or "all" for one in changes], 3)


def _build_title(story: _Story) -> str:
    """Return the one sentence: what, where, how bad."""
    lead, wrong, over = story.lead, story.wrong, story.over
    cause, judged = lead.cause, lead.cause.standing.judged
    values = [name_values(one.values) for one in (wrong or over) if one.values]
    where = f" ({write_list(values, 3)})" if values else ""
    sign = _SIGNS[cause.alert.severity]
    if story.is_over:
        # Not because it is well, but because it is not looked at any more.
        is_let_go = judged.value is None and judged.reason and judged.verdict != "no data"
        why = f": {judged.reason.rstrip('.')}" if is_let_go else ""
        return f"Over: {_name(lead)}{where}{why}"
    if not wrong:
        ended = f"over for {_names(over)}, " if over else ""
        return f"{sign}: {_name(lead)}: {ended}still wrong for {_names(story.rest)}"
    still = "still " if story.batch.repeats else ""
    if is_silent(lead.values, cause.standing):
        return f"{sign}: {_name(lead)}{where}: {still}no data: the whole project is silent"
    if _never_had_data(lead):
        return f"{sign}: {_name(lead)}{where}: {still}no data: there never was any"
    if lead.after in ("no data", "error"):
        return f"{sign}: {_name(lead)}{where}: {still}{STATE_WORDS[lead.after]}{_say_why_no_figure(judged)}"
    return f"{sign}: {_name(lead)}{where}: {still}{write_judged(cause.alert, judged, cause.unit)}"


def _say_why_no_figure(judged: Judged) -> str:
    """Return why there is no figure though events may have come, as the end of a sentence; '' where none came."""
    return f": {write_clause(judged.reason)}" if judged.verdict == "no data" and judged.reason else ""


def _list_facts(story: _Story, now: datetime) -> list[tuple[str, str]]:
    lead, wrong, over, rest = story.lead, story.wrong, story.over, story.rest
    cause = lead.cause
    alert = cause.alert
    facts = _list_values(story)
    if not story.is_over:
        since = min((one.cause.standing.opened or one.at for one in (*wrong, *rest)), default=lead.at)
        days = write_days(alert, since)
        facts.append(("Since", days or f"{write_since(alert, since)}, {write_duration(now - since)} ago"))
    else:
        facts.append(("Over since", write_since(alert, lead.at)))
        facts.append(("Now", write_judged(alert, cause.standing.judged, cause.unit)))
        openings = [one.cause.opened for one in story.batch.changes if one.cause.opened is not None]
        begun = min(openings, default=None)
        if begun is not None:
            facts.append(("Lasted", write_duration(lead.at - begun)))
    if over and not story.is_over:
        facts.append(("Over", write_list([name_values(one.values) or "all" for one in over], _NAMED)))
    facts.append(("Fires when", f"{cause.title or alert.metric} is {write_condition(alert, cause.unit)}"))
    if alert.description:
        facts.append(("About", alert.description))
    if alert.runbook:
        facts.append(("To do", alert.runbook))
    facts.append(("Owner", cause.owner or "nobody"))
    return facts


def _list_values(story: _Story) -> list[tuple[str, str]]:
    """Return a row for each value in which something is wrong, where there are several or it is not in the title."""
    named = [(one, "") for one in story.wrong if len(story.wrong) > 1 or story.rest]
    named += [(one, "still ") for one in story.rest]
    facts = []
    for one, still in named[:_NAMED]:
        cause = one.cause
        figures = write_judged(cause.alert, cause.standing.judged, cause.unit)
        if cause.standing.calm_since is not None:
            figures += f", well since {write_since(cause.alert, cause.standing.calm_since)}"
        facts.append((name_values(one.values) or "all", f"{still}{STATE_WORDS[one.after]}: {figures}"))
    if len(named) > _NAMED:
        facts.append(("and", f"{len(named) - _NAMED} more"))
    return facts


def _list_links(story: _Story, links: Links) -> list[tuple[str, str]]:
    rows = [("Page", links.alert)]
    if not story.is_over:
        rows.append(("Acknowledge or silence", links.acknowledge))
    return [(name, address) for name, address in rows if address]


def _render_html(
    title: str, facts: list[tuple[str, str]], links: list[tuple[str, str]], is_over: bool
) -> str:
    """Return the same as a small page: mail programs know little more than tables."""
    rows = "".join(
        f'<tr><th align="left" valign="top" style="padding:2px 12px 2px 0;color:#555;font-weight:normal">{escape(name)}</th>'
        f'<td style="padding:2px 0">{escape(value)}</td></tr>'
        for name, value in facts
    )
    return _render_frame(title, f"<table>{rows}</table><p>{_render_links(links)}</p>", is_over)


def _render_list(
    title: str, rows: list[tuple[str, list[tuple[str, str]]]], rest: str, all_alerts: str, is_over: bool
) -> str:
    """Return a message of several alerts as a small page."""
    items = "".join(f"<li>{escape(sentence)}<br>{_render_links(links)}</li>" for sentence, links in rows)
    anchor = _render_links([("All alerts", all_alerts)]) if all_alerts else ""
    return _render_frame(title, f"<ul>{items}</ul><p>{escape(rest)} {anchor}</p>", is_over)


def _render_links(links: list[tuple[str, str]]) -> str:
    return " &middot; ".join(f'<a href="{escape(address)}">{escape(name)}</a>' for name, address in links)


def _render_frame(title: str, inside: str, is_over: bool) -> str:
    return (
        f'<div style="font-family:sans-serif;font-size:15px"><p style="border-left:4px solid {_WELL if is_over else _WRONG};'
        f'padding-left:10px;font-size:17px">{escape(title)}</p>{inside}</div>'
    )


def _list_part(story: _Story, links: Links) -> dict[str, Any]:
    """Return the facts of one alert among several: what it would have as a message of its own."""
    key = story.batch.key
    kind = "over" if story.is_over else "trouble"
    page, _ = links.parts.get(key, ("", ""))
    return {"title": _build_title(story), "key": key, "kind": kind, **_list_data(story, Links(alert=page))}


def _list_data(story: _Story, links: Links) -> dict[str, Any]:
    """Return the facts for programs: what a webhook gets."""
    batch, lead = story.batch, story.lead.cause
    newest = {one.values: one for one in sorted(batch.changes, key=lambda one: one.id)}
    return {
        "project": batch.project,
        "alert": batch.alert,
        "incident": batch.incident,
        "severity": lead.alert.severity,
        "metric": lead.alert.metric,
        "owner": lead.owner,
        "unit": lead.unit,
        "repeats": batch.repeats,
        "link": links.alert,
        "changes": [_list_change(one) for one in newest.values()],
        # All that is wrong now, whether it is news or not.
        "open": [_list_change(one) for one in batch.still],
    }


def _list_change(one: ChangeRow) -> dict[str, Any]:
    return {
        "values": dict(zip(one.cause.alert.breakdown, one.values, strict=False)),
        "state": one.after,
        "before": one.before,
        "at": one.at,
        "since": one.cause.standing.opened,
        **msgspec.structs.asdict(one.cause.standing.judged),
    }
