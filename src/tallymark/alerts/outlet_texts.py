"""What a service is given of a message: its text in the form that the service shows as it is, and the message in its shape.

Comes in: a message, and the service's code, set up for an address. Goes out: title and body; what else the service needs, such
as the key of an incident, is set on its code. It loads apprise, so it is imported by the sending process alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

from apprise import NotifyBase, conversion
from apprise.common import NotifyFormat, NotifyType
from apprise.plugins.email import base as mail

from tallymark.alerts.outlet_services import MADE_HERE, MAILERS, READ_MARKDOWN, WEBHOOKS
from tallymark.alerts.outlets import Message

_ESCAPE: Final[Callable[[str], str]] = conversion.text_to_markdown

_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_LINK: Final = re.compile(r"(https?://[^\s<>\"]*[^\s<>\".,;:!?)\]])")
# What calls people in one chat or another; the text of an alert holds what strangers sent.
_CALL: Final = re.compile(r"@(?=(?:everyone|here|channel|all|room|online)\b|[*_])|(?<=<)(?=[@!#&]|users/)")


def build_text(plugin: NotifyBase, message: Message) -> tuple[str, str, NotifyFormat]:
    """Return title and body as the service is to be given them, and what the body is written in."""
    title = put_on_line(message.title)
    text = _CONTROLS.sub("", message.text) or title
    if plugin.schema in MAILERS:
        if message.html and plugin.resolve_format(NotifyFormat.HTML) is NotifyFormat.HTML:
            # Only a mail that is made here holds its picture.
            ours = plugin.schema in MADE_HERE
            html = message.html if ours else re.sub(r"<img\b[^>]*\bcid:[^>]*>", "", message.html)
            return title, html, NotifyFormat.HTML
        return title, text, NotifyFormat.TEXT
    if plugin.schema in WEBHOOKS:
        return title, text, NotifyFormat.TEXT
    title, text = calm(title), calm(text)
    if plugin.resolve_format(NotifyFormat.TEXT) is NotifyFormat.MARKDOWN:
        # Without a field of its own the title becomes a part of the body.
        title = title if plugin.title_maxlen > 0 else _ESCAPE(title)
        return title, build_markdown(text), NotifyFormat.MARKDOWN
    return title, build_markdown(text) if plugin.schema in READ_MARKDOWN else text, NotifyFormat.TEXT


def put_on_line(text: str) -> str:
    """Return a text on one line, without signs that nobody sees."""
    return " ".join(_CONTROLS.sub(" ", text).split())


def build_markdown(text: str) -> str:
    """Return Markdown that shows plain text as it is, with links that work."""
    parts = [_ESCAPE(part) for part in _LINK.split(text)]
    links = [f"({link.replace('(', '%28').replace(')', '%29')})" for link in _LINK.findall(text)]
    # Every second part is a link.
    parts[1::2] = [f"[{part}]{link}" for part, link in zip(parts[1::2], links, strict=True)]
    return "".join(parts)


def calm(text: str) -> str:
    """Break what calls people by an invisible sign, so that it is only read."""
    return _CALL.sub("\\g<0>\u200b", text)


def _shape_mail(plugin: Any, message: Message) -> None:
    """Let mail programs recognise the same message and put those of one incident together."""
    incident = f"<{quote(message.key, safe='')}@tallymark>"
    ours = {"References": incident, "In-Reply-To": incident, "Auto-Submitted": "auto-generated"}
    plugin.headers = _drop(plugin.headers, "message-id", *ours) | ours
    plugin.inline = True
    # apprise would make up an id, and the plain text from the HTML. This process sends one message at a time.
    vars(mail).update(
        make_msgid=lambda **_: f"<{quote(message.id, safe='')}@tallymark>",
        convert_between=lambda *_: message.text,
    )


def _shape_webhook(plugin: Any, message: Message) -> None:
    """Give a webhook what it needs to recognise the message and to understand it without reading text."""
    header = {"Idempotency-Key": quote(message.id, safe="")}
    plugin.headers = _drop(plugin.headers, *header) | header
    ours = {"key": message.key, "id": message.id, "kind": message.kind, "facts": message.facts}
    plugin.payload_extras = ours | plugin.payload_extras | ours


def _shape_pagerduty(plugin: Any, message: Message) -> None:
    """Open one incident there per incident here, and close it."""
    plugin.dedup = message.key
    plugin.action = "resolve" if message.kind == "over" else "trigger"


def _shape_pagertree(plugin: Any, message: Message) -> None:
    """Open one alert there per incident here, and resolve it."""
    plugin.thirdparty = message.key
    plugin.action = "resolve" if message.kind == "over" else "create"
    # Fields that an address adds would take the place of both.
    plugin.payload_extras = _drop(plugin.payload_extras, "id", "event_type")


def _shape_signl4(plugin: Any, message: Message) -> None:
    """Open one alert there per incident here, and resolve it."""
    plugin.external_id = message.key
    # An event with another status opens nothing there. One that stands in the address would hold for all of them.
    plugin.status = "resolved" if message.kind == "over" else "new"


def _shape_splunk(plugin: Any, message: Message) -> None:
    """Open one incident there per incident here, and let it recover; a test only stands in the timeline."""
    plugin.entity_id = message.key
    # Whether a warning is enough for trouble is for the address to say; what it opens is closed all the same.
    is_mild = plugin.action == "warning" or plugin.mapping[NotifyType.FAILURE] == "WARNING"
    trouble = "warning" if is_mild else "critical"
    plugin.action = {"trouble": trouble, "over": "recovery", "test": "info"}[message.kind]


def _shape_each_by_itself(plugin: Any, message: Message) -> None:  # noqa: ARG001 - all shapes are called alike
    """Let each message arrive as an alert of its own."""
    # Their code closes only what it remembers to have opened, by the number that the service gave it, and this process remembers
    # nothing: ends and tests would not be sent, and be called sent. An alias would hide them: under an open one they are counted.
    plugin.action = "new"


SHAPES: Final[dict[str, Callable[[NotifyBase, Message], None]]] = {
    "mailto": _shape_mail,
    "mailtos": _shape_mail,
    "json": _shape_webhook,
    "jsons": _shape_webhook,
    "jira": _shape_each_by_itself,
    "opsgenie": _shape_each_by_itself,
    "pagerduty": _shape_pagerduty,
    "pagertree": _shape_pagertree,
    "signl4": _shape_signl4,
    "splunk": _shape_splunk,
    "victorops": _shape_splunk,
}


def _drop(given: dict[str, str], *names: str) -> dict[str, str]:
    dropped = {name.lower() for name in names}
    return {name: value for name, value in given.items() if name.strip().lower() not in dropped}
