"""From changes to a message: one sentence of what happened, then what is known, as plain text and as HTML.

Pure. Comes in: the changes that go out together, and the addresses of pages. Goes out: a message without its picture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Any, Final

import msgspec

from tallymark.alerts.book import ChangeRow
from tallymark.alerts.links import Links
from tallymark.alerts.notices import Batch
from tallymark.alerts.outlets import Message
from tallymark.alerts.standing import OPEN
from tallymark.alerts.words import (
    name_values,
    write_condition,
    write_duration,
    write_judged,
    write_list,
    write_moment,
)

# So many values of a breakdown are named; the page has them all.
_NAMED: Final = 10
_SIGNS: Final = {"page": "PAGE", "warning": "Warning", "info": "Info"}


def build_message(batch: Batch, links: Links, now: datetime) -> Message:
    """Return what a receiver is told."""
    changes = _newest(batch.changes)
    wrong = [one for one in changes if one.after in OPEN]
    over = [one for one in changes if one.is_over]
    lead = (wrong or over or changes)[0]
    title = _build_title(lead, wrong, over, batch.repeats)
    facts = _list_facts(lead, wrong, over, batch, now)
    rows = [("", title), *facts, *_list_links(lead, links)]
    text = "\n".join(f"{name}: {value}" if name else f"{value}\n" for name, value in rows)
    return Message(
        title=title,
        text=text,
        html=_render_html(title, facts, lead, links),
        key=find_key(batch),
        id=f"{find_key(batch)}-{batch.id}",
        kind="over" if not wrong and over else "trouble",
        facts=_list_data(batch, changes, links),
    )


def find_key(batch: Batch) -> str:
    """Return what all messages about one trouble have in common, and no others: a text of letters and digits."""
    parts = f"{batch.project}\0{batch.alert}\0{batch.incident}"
    return hashlib.sha256(parts.encode()).hexdigest()[:24]


def _newest(changes: Sequence[ChangeRow]) -> list[ChangeRow]:
    """Return the last change of each value. Trouble that was over before anybody was told is told with its end."""
    return list({one.values: one for one in sorted(changes, key=lambda one: one.id)}.values())


def _name(one: ChangeRow) -> str:
    return one.told.alert.title or one.told.alert.name


def _build_title(lead: ChangeRow, wrong: list[ChangeRow], over: list[ChangeRow], repeats: bool) -> str:
    """Return the one sentence: what, where, how bad."""
    told, judged = lead.told, lead.told.standing.judged
    values = [name_values(one.values) for one in (wrong or over) if one.values]
    where = f" ({write_list(values, 3)})" if values else ""
    sign = _SIGNS[told.alert.severity]
    if not wrong:
        return f"Over: {_name(lead)}{where}"
    still = "still " if repeats else ""
    if lead.after == "no data":
        return f"{sign}: {_name(lead)}{where}: {still}no data"
    if lead.after == "error":
        return f"{sign}: {_name(lead)}{where}: {still}cannot be judged"
    return f"{sign}: {_name(lead)}{where}: {still}{write_judged(told.alert, judged, told.unit)}"


def _list_facts(
    lead: ChangeRow, wrong: list[ChangeRow], over: list[ChangeRow], batch: Batch, now: datetime
) -> list[tuple[str, str]]:
    told = lead.told
    alert, standing = told.alert, told.standing
    since = min((one.told.standing.opened or one.at for one in wrong), default=lead.at)
    named = wrong[:_NAMED] if len(wrong) > 1 else []
    facts = [
        (
            name_values(one.values) or "all",
            f"{one.after}: {write_judged(alert, one.told.standing.judged, told.unit)}",
        )
        for one in named
    ]
    if len(wrong) > _NAMED:
        facts.append(("and", f"{len(wrong) - _NAMED} more"))
    if wrong:
        length = write_duration(now - since)
        facts.append(("Since", f"{write_moment(since, alert.timezone)}, {length} ago"))
    else:
        facts.append(("Over since", write_moment(lead.at, alert.timezone)))
        facts.append(("Now", write_judged(alert, standing.judged, told.unit)))
        begun = next((one.told.standing.opened for one in batch.changes if one.told.standing.opened), None)
        if begun is not None:
            facts.append(("Lasted", write_duration(lead.at - begun)))
    if over and wrong:
        facts.append(("Over", write_list([name_values(one.values) or "all" for one in over], _NAMED)))
    facts.append(("Fires when", f"{told.title or alert.metric} is {write_condition(alert, told.unit)}"))
    if told.reason:
        facts.append(("Why", told.reason))
    if alert.description:
        facts.append(("About", alert.description))
    if alert.runbook:
        facts.append(("To do", alert.runbook))
    facts.append(("Owner", told.owner or "nobody"))
    return facts


def _list_links(lead: ChangeRow, links: Links) -> list[tuple[str, str]]:
    rows = [("Page", links.alert)]
    if lead.after in OPEN:
        rows.append(("Acknowledge or silence", links.acknowledge))
    return [(name, address) for name, address in rows if address]


def _render_html(title: str, facts: list[tuple[str, str]], lead: ChangeRow, links: Links) -> str:
    """Return the same as a small page: mail programs know little more than tables."""
    colour = "#b3261e" if lead.after in OPEN else "#1b6e3c"
    rows = "".join(
        f'<tr><th align="left" valign="top" style="padding:2px 12px 2px 0;color:#555;font-weight:normal">{escape(name)}</th>'
        f'<td style="padding:2px 0">{escape(value)}</td></tr>'
        for name, value in facts
    )
    anchors = " &middot; ".join(
        f'<a href="{escape(address)}">{escape(name)}</a>' for name, address in _list_links(lead, links)
    )
    return (
        f'<div style="font-family:sans-serif;font-size:15px"><p style="border-left:4px solid {colour};padding-left:10px;font-size:17px">'
        f"{escape(title)}</p><table>{rows}</table><p>{anchors}</p></div>"
    )


def _list_data(batch: Batch, changes: list[ChangeRow], links: Links) -> dict[str, Any]:
    """Return the facts for programs: what a webhook gets."""
    lead = changes[0].told
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
        "changes": [
            {
                "values": dict(zip(one.told.alert.breakdown, one.values, strict=False)),
                "state": one.after,
                "before": one.before,
                "at": one.at,
                "since": one.told.standing.opened,
                **msgspec.structs.asdict(one.told.standing.judged),
            }
            for one in changes
        ],
    }
