"""Write what is made from the code: docs/codes.md, docs/api.md, and the settings in docs/operations.md.

`--check` writes nothing and fails when a page is not what it would be; `make check` does that.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from tallymark.errors import (
    CLIENT_DROP_REASONS,
    DROP_REASONS,
    EVENT_CODES,
    REMOVAL_REASONS,
    REQUEST_CODES,
    Code,
)
from tallymark.event import MAX_ATTRIBUTES, MAX_DEPTH, MAX_EVENT_BYTES, MAX_NAME_BYTES, Event
from tallymark.server.app import build_application
from tallymark.server.config import MEANINGS, Config
from tallymark.server.first_start import prepare_catalog
from tallymark.server.orders import Orders

DOCS = Path(__file__).parent.parent / "docs"
_MADE = "<!-- made by scripts/build_reference.py: change the code, then run `make reference` -->\n"
_SETTINGS = "<!-- settings: made by scripts/build_reference.py -->"
_SETTINGS_END = "<!-- end of settings -->"
# The type counts characters; the intake counts the bytes of these besides, see pipeline/steps/validate.py.
_COUNTED_IN_BYTES = frozenset(("event_id",))


def render_codes() -> str:
    """Return docs/codes.md."""
    lists = (
        (
            "Events that were not accepted",
            "An event that fails is kept whole in the quarantine (line `quarantined`) or, when it could not be read as an object or the quarantine is full, only described (line `refused`).",
            EVENT_CODES,
        ),
        (
            "Events that a rule ended",
            "They were valid; they are counted on the line `dropped`.",
            DROP_REASONS,
        ),
        (
            "Events that were removed after they were stored",
            "Counted on the line `removed`; `stored` never falls.",
            REMOVAL_REASONS,
        ),
        (
            "Requests that were turned away whole",
            "Their events are outside the ledger's equation: nobody counted them. The answer's status is in the second column.",
            REQUEST_CODES,
        ),
        (
            "Events that a client let go",
            "Reported by the client as running totals; outside the equation.",
            CLIENT_DROP_REASONS,
        ),
    )
    parts = [
        "# Codes and reasons\n",
        _MADE,
        "Nobody needs to read a message to act on it: every outcome has a stable code, and this is all of them.\n",
    ]
    for title, text, codes in lists:
        parts.append(f"## {title}\n\n{text}\n\n{_render_table(codes)}")
    return "\n".join(parts)


def _render_table(codes: dict[str, Code]) -> str:
    rows = [
        f"| `{code.code}` | {code.status or ''} | {code.meaning} | {code.remedy} |" for code in codes.values()
    ]
    return "\n".join(["| code | status | meaning | what to do |", "|---|---|---|---|", *rows, ""])


def render_api(document: dict[str, Any]) -> str:
    """Return docs/api.md from an OpenAPI document."""
    intro = (
        "Keys travel as `Authorization: Bearer KEY`, as the user name of Basic, or as `?key=KEY`. A key belongs to one project "
        "and has a scope: `write` sends events, `read` asks questions, `admin` does both and manages keys. Errors are JSON with "
        "`code`, `message` and `at`; the codes are in [codes.md](codes.md). The same as a document for machines: "
        "`GET /v1/openapi/openapi.json`. PostHog's SDKs send to routes of their own: [posthog.md](posthog.md).\n"
    )
    parts = ["# The HTTP API\n", _MADE, intro, render_fields()]
    for path, item in sorted(document["paths"].items()):
        methods = [method for method in ("get", "post", "put", "delete") if method in item]
        parts += [_render_operation(path, method, item[method]) for method in methods]
    return "\n".join(parts)


def render_fields() -> str:
    """Return the table of an event's fields, from the type that the receiver decodes into."""
    (_,), found = msgspec.json.schema_components([Event], ref_template="{name}")
    lines = ["## Fields of an event\n", "Any other top-level name is taken as an attribute.\n"]
    lines += ["| field | type | limit |", "|---|---|---|"]
    schema = found["Event"]
    for name, kind in schema["properties"].items():
        choices = [item for item in kind.get("anyOf", [kind]) if item.get("type") != "null"]
        shown = choices[0].get("format") or choices[0]["type"]
        if "items" in choices[0]:
            shown = f"list of {choices[0]['items']['type']}"
        most = choices[0].get("maxLength")
        unit = "bytes" if name in _COUNTED_IN_BYTES else "characters"
        limit = f"{'1 to ' if choices[0].get('minLength') else ''}{most} {unit}" if most else ""
        required = " (required)" if name in schema["required"] else ""
        lines.append(f"| `{name}`{required} | {shown} | {limit} |")
    lines.append(
        f"\nIn all: {MAX_EVENT_BYTES} bytes an event, {MAX_ATTRIBUTES} attributes with names of 1 to {MAX_NAME_BYTES} bytes, "
        f"{MAX_DEPTH} levels of nesting, integers of 64 bits; `event_time` with a time zone, from 1970 to a day ahead.\n"
    )
    return "\n".join(lines)


def _render_operation(path: str, method: str, operation: dict[str, Any]) -> str:
    scopes = sorted({name for need in operation.get("security", []) for name in need})
    lines = [
        f"## {method.upper()} {path}\n",
        f"{operation.get('summary', '')}. {operation.get('description', '')}\n",
    ]
    lines.append(f"Key: {', '.join(f'`{scope}`' for scope in scopes) if scopes else 'none'}.\n")
    parameters = operation.get("parameters") or []
    if parameters:
        lines += ["| parameter | in | meaning |", "|---|---|---|"]
        lines += [
            f"| `{item['name']}` | {item['in']} | {item.get('description', '')} |" for item in parameters
        ]
        lines.append("")
    answers = [
        f"`{status}` {answer.get('description', '')}"
        for status, answer in sorted(operation["responses"].items())
    ]
    lines.append("Answers: " + " · ".join(answers) + "\n")
    return "\n".join(lines)


def read_openapi() -> dict[str, Any]:
    """Build the application in a folder of its own and return its OpenAPI document."""
    with tempfile.TemporaryDirectory() as folder:
        config = Config(data=folder)
        catalog, _ = prepare_catalog(config, {"TALLYMARK_ADMIN_PASSWORD": "not-used-here"})
        catalog.engine.dispose()
        framework, intake, services = build_application(Orders(config, "http://127.0.0.1:1", 1, ""), 64)
        document: dict[str, Any] = framework.openapi_schema.to_schema()
        intake.journal.close()
        services.close()
    return document


def render_operations(page: str) -> str:
    """Return docs/operations.md with the table of settings as the code has them."""
    before, _, rest = page.partition(_SETTINGS)
    after = rest.partition(_SETTINGS_END)[2]
    rows = [
        f"| `{name}` | {'–' if getattr(Config(), name) == '' else getattr(Config(), name)} | {MEANINGS[name]} |"
        for name in Config.__struct_fields__
    ]
    table = "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows])
    return f"{before}{_SETTINGS}\n{table}\n{_SETTINGS_END}{after}"


def main() -> int:
    """Write the pages, or check them."""
    pages = {
        "codes.md": render_codes(),
        "api.md": render_api(read_openapi()),
        "operations.md": render_operations((DOCS / "operations.md").read_text(encoding="utf-8")),
    }
    stale = [
        name
        for name, text in pages.items()
        if not (DOCS / name).exists() or (DOCS / name).read_text(encoding="utf-8") != text
    ]
    if "--check" in sys.argv:
        for name in stale:
            sys.stdout.write(f"docs/{name} is not what the code says: run `make reference`\n")
        return 1 if stale else 0
    for name in stale:
        (DOCS / name).write_text(pages[name], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
