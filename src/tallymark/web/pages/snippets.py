"""Texts to copy: how to send the first event, and how to ask a question, with the real address in them.

Comes in: an address, a question. Goes out: (title, language, text) triples. Pure.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Snippet:
    """One text to copy under its title."""

    name: str
    title: str
    text: str


def build_send_snippets(address: str) -> list[Snippet]:
    """Return how to send a first event; the key comes from the environment."""
    curl = (
        "export TALLYMARK_WRITE_KEY=...   # a write key\n"
        f"curl -sS --fail-with-body \\\n  {shlex.quote(address + '/v1/events')} \\\n"
        '  -H "Authorization: Bearer $TALLYMARK_WRITE_KEY" \\\n'
        "  -d @- <<END\n"
        '{"event_id": "first-$(date +%s)",\n'
        ' "event_time": "$(date -u +%FT%TZ)",\n'
        ' "event_type": "behavioral",\n'
        ' "event_name": "hello"}\n'
        "END\n"
    )
    python = (
        "# pip install tallymark\n"
        "# the key comes from TALLYMARK_WRITE_KEY\n"
        "from tallymark import Client\n\n"
        f'client = Client(url="{address}")\n'
        'client.behavior("hello", colour="green")\n'
        "client.close()\n"
    )
    return [Snippet("curl", "curl", curl), Snippet("python", "Python", python)]


def build_question_snippets(question: dict[str, Any], address: str) -> list[Snippet]:
    """Return a question's object as JSON, Python and curl; the read key comes from the environment."""
    text = msgspec.json.format(msgspec.json.encode(question), indent=2).decode()
    place = address + "/v1/query"
    curl = (
        "# TALLYMARK_READ_KEY holds a read key\n"
        f"curl -sS --fail-with-body \\\n  {shlex.quote(place)} \\\n"
        '  -H "Authorization: Bearer $TALLYMARK_READ_KEY" \\\n'
        f"  -d {shlex.quote(text)}\n"
    )
    python = (
        "import json, os, urllib.request\n\n"
        f"question = {render_literal(question)}\n"
        "request = urllib.request.Request(\n"
        f"    {place!r},\n"
        "    json.dumps(question).encode(),\n"
        '    {"Authorization": "Bearer " + os.environ["TALLYMARK_READ_KEY"]},\n'
        ")\n"
        "answer = json.load(urllib.request.urlopen(request))\n"
        'for row in answer["rows"]:\n'
        "    print(row)\n"
    )
    return [Snippet("json", "JSON", text), Snippet("python", "Python", python), Snippet("curl", "curl", curl)]


def render_literal(value: Any, depth: int = 0) -> str:
    """Return plain data as Python would be written by hand: one entry per line where it holds others."""
    pad, end = "    " * (depth + 1), "    " * depth
    if isinstance(value, dict) and value:
        lines = [f"{pad}{name!r}: {render_literal(one, depth + 1)},\n" for name, one in value.items()]
        return "{\n" + "".join(lines) + end + "}"
    if isinstance(value, list) and any(isinstance(one, dict) for one in value):
        return "[\n" + "".join(f"{pad}{render_literal(one, depth + 1)},\n" for one in value) + end + "]"
    return repr(value)
