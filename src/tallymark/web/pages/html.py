"""From a template and values to an HTML answer, with the headers that keep what arrives from running.

Every page, fragment and refusal of this room is rendered here. Templates escape everything; a missing value is an error.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import jinja2
import markupsafe
import msgspec
from litestar import Request, Response

from tallymark import __version__
from tallymark.alerts.words import STATE_WORDS, name_values
from tallymark.web.panels import View
from tallymark.web.prefix import PREFIX, lead_back
from tallymark.web.shapes import (
    shape_ago,
    shape_bytes,
    shape_cell,
    shape_count,
    shape_duration,
    shape_json,
    shape_time,
    shape_value,
)
from tallymark.web.spans import write_span
from tallymark.web.texts import begin_sentence, lay_out_json, show_block, show_line

STATIC_FOLDER: Final = Path(__file__).parents[1] / "static"
THEME_COOKIE: Final = "tallymark_theme"
# The charts' runtime compiles its own expressions, hence 'unsafe-eval': docs/decisions/0006-charts.md.
POLICY: Final = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@cache
def static_version() -> str:
    """Return the version in the address of our own static files: it changes when one of them does."""
    digest = hashlib.sha256()
    for path in sorted(STATIC_FOLDER.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


@cache
def environment() -> jinja2.Environment:
    """Return the templates' environment."""
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("tallymark.web", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "ago": shape_ago,
        "bytes": shape_bytes,
        "cell": shape_cell,
        "count": shape_count,
        "duration": shape_duration,
        "pretty_json": shape_json,
        "time": shape_time,
        "value": shape_value,
        "breakable": let_break,
        "line": show_line,
        "block": show_block,
        "sentence": begin_sentence,
        "laid_out": lay_out_json,
        "span": write_span,
    }
    found.globals |= {
        "static": f"/static/{static_version()}",
        "version": __version__,
        "address_of": build_link,
        "name_values": name_values,
        "state_words": STATE_WORDS,
    }
    found.filters["embedded"] = embed_json
    found.filters["panel"] = render_panel
    found.globals["parts"] = found.get_template("parts.html").module
    return found


def embed_json(value: Any) -> markupsafe.Markup:
    """Return a value as JSON that cannot end the element it stands in."""
    text = msgspec.json.encode(value).decode()
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return markupsafe.Markup(text)  # noqa: S704 - nothing in it can be markup any more


def let_break(text: str) -> markupsafe.Markup:
    """Return a name that may be broken after each underscore; copied, it is as it was."""
    return markupsafe.escape(text).replace("_", markupsafe.Markup("_<wbr>"))


def build_link(path: str, fields: Mapping[str, Any] | None = None, **more: Any) -> str:
    """Return an address on this server; empty values are left out."""
    given = {**(fields or {}), **more}
    query = urlencode([(name, str(value)) for name, value in given.items() if value not in ("", None)])
    return f"{path}?{query}" if query else path


def render_panel(view: View) -> markupsafe.Markup:
    """Return what stands in a panel. Rendered once: a panel is the same for all who look at it."""
    if not view.html:
        view.html = str(environment().get_template("panel.html").module.body(view))  # type: ignore[attr-defined]
    return markupsafe.Markup(view.html)  # noqa: S704 - rendered by a template, which escapes


def render_html(
    request: Request[Any, Any, Any], template: str, values: Mapping[str, Any], status: int = 200
) -> Response[bytes]:
    """Return a template as an answer that nobody caches."""
    theme = request.cookies.get(THEME_COOKIE, "")
    given = {"theme": theme if theme in ("light", "dark") else "", **values}
    text = environment().get_template(template).render(given)
    text = lead_back(text, request.scope["state"].get(PREFIX, ""))
    return Response(
        text.encode("utf-8", "replace"),
        status_code=status,
        media_type="text/html",
        headers={**SECURITY_HEADERS, "Cache-Control": "no-store", "Vary": "Cookie, Accept-Encoding"},
    )


def render_move(target: str) -> Response[bytes]:
    """Return a 303 to an address on this server, to be fetched with GET."""
    headers = {**SECURITY_HEADERS, "Location": target, "Cache-Control": "no-store"}
    return Response(b"", status_code=303, headers=headers, media_type="text/plain")
