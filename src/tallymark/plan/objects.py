"""Objects of a plan between their forms: decoded from a value, checked, and back to JSON and to YAML.

The files, the API and the pages all come through here, so that one definition means the same everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import yaml

from tallymark.errors import RequestRefused
from tallymark.plan.kinds import BY_NAME, KINDS, Kind
from tallymark.plan.words import refuse
from tallymark.plan.yaml_text import read_plain
from tallymark.queries.parse import split_error, tell_allowed

Objects = dict[str, dict[str, Any]]

_SERIES: Final = re.compile(r"^series\[0\]\.(?:measure\.)?")
# Characters that show nothing themselves or turn their neighbours around; what else is unseen YAML writes out anyway.
_UNSEEN: Final = re.compile("[\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")
_UNKNOWN: Final = re.compile(r"unknown field `([^`]+)`")
_encoder = msgspec.json.Encoder()


def parse_object(kind: Kind, value: Any) -> Any:
    """Decode an object; raises RequestRefused (invalid_definition) with the path of the mistake in `at`."""
    if not isinstance(value, Mapping):
        raise refuse(f"A {kind.name} is a mapping of names to values.")
    try:
        return msgspec.convert(value, kind.type)
    except msgspec.ValidationError as error:
        message, at = split_error(error)
        raise refuse(f"{message}.{_allowed(kind, value, at)}", _place(message, at)) from None
    except RecursionError:
        raise refuse("Nested too deeply.") from None


def check_object(kind: Kind, one: Any, objects: Objects) -> None:
    """Check an object among all others of the project; raises RequestRefused with the object's own paths."""
    try:
        kind.check(one, objects)
    except RequestRefused as error:
        # A metric of one series is asked as a trend; its paths are not what somebody wrote.
        raise refuse(error.message, _SERIES.sub("", error.at)) from None


def decode_object(kind_name: str, body: str) -> Any:
    """Return an object from the JSON that the catalog keeps."""
    return msgspec.json.decode(body, type=BY_NAME[kind_name].type)


def encode_object(one: Any) -> str:
    """Return an object as the JSON that the catalog keeps."""
    return _encoder.encode(one).decode()


def render_yaml(objects: Mapping[str, list[Any]]) -> str:
    """Return objects, by kind, as the text of one file."""
    whole = {
        kind.plural: [msgspec.to_builtins(one) for one in objects[kind.name]]
        for kind in KINDS
        if objects.get(kind.name)
    }
    text = yaml.dump(whole, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    # They stand in double quotes only, where they mean the same written out: who reads the text sees what it says.
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def describe_files() -> dict[str, Any]:
    """Return the JSON Schema of a file, for editors."""
    (schemas, components) = msgspec.json.schema_components(
        [kind.type for kind in KINDS], ref_template="#/$defs/{name}"
    )
    lists = {
        kind.plural: {"type": "array", "items": schema} for kind, schema in zip(KINDS, schemas, strict=True)
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tallymark definitions",
        "type": "object",
        "properties": lists,
        "additionalProperties": False,
        "$defs": components,
    }


class _Dumper(yaml.SafeDumper):
    """Writes texts that our reader, or an older one, could take for something else in quotes."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        """Indent lists below their key."""
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        """Write every value where it belongs."""
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    if "\n" in text.strip("\n") and text == text.rstrip() + "\n" and not _UNSEEN.search(text):
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|")
    style = '"' if _UNSEEN.search(text) else "'" if read_plain(text) != text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def _allowed(kind: Kind, value: Mapping[str, Any], at: str) -> str:
    """Return a sentence with what may stand at a path, where the message does not say it."""
    types = {_tag(one): one for one in _members(kind.type)}
    if len(types) > 1 and ("kind" not in value or str(value["kind"]) not in types):
        return f" Kinds: {', '.join(types)}."
    return tell_allowed(types.get(str(value.get("kind", "")), next(iter(types.values()))), at)


def _place(message: str, at: str) -> str:
    """Return the path of a mistake; of a field that there is not, the field's own rather than that of what holds it."""
    unknown = _UNKNOWN.search(message)
    return f"{at}.{unknown[1]}".lstrip(".") if unknown else at


def _members(union: Any) -> tuple[Any, ...]:
    return getattr(union, "__args__", (union,))


def _tag(struct: Any) -> str:
    return str(struct.__struct_config__.tag or "")
