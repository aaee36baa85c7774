"""Objects of a plan between their forms: decoded from a value, checked, and back to JSON and to YAML.

The files, the API and the pages all come through here, so that one definition means the same everywhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

import msgspec
import yaml

from tallymark.errors import RequestRefused
from tallymark.plan.kinds import BY_NAME, KINDS, Kind
from tallymark.plan.mistakes import find_mistakes, list_tagged
from tallymark.plan.words import refuse
from tallymark.plan.yaml_text import read_plain
from tallymark.queries.parse import split_error, tell_allowed

Objects = dict[str, dict[str, Any]]

_SERIES: Final = re.compile(r"^series\[\d+\]\.(?:measure\.)?")
# Characters that show nothing themselves, turn their neighbours around or end a line; what else is unseen YAML writes out.
_UNSEEN: Final = re.compile(
    "[\x80-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
# Of one object; who has more of them sees these first.
MOST_MISTAKES: Final = 20
_MOST_DEPTH: Final = 50
_encoder = msgspec.json.Encoder()


def parse_object(kind: Kind, value: Any) -> Any:
    """Decode an object; raises RequestRefused (invalid_definition) for its first mistake, with the path in `at`."""
    one, mistakes = read_object(kind, value)
    if mistakes:
        raise mistakes[0]
    return one


def read_object(kind: Kind, value: Any) -> tuple[Any, list[RequestRefused]]:
    """Decode an object; return it, or None and all that is wrong with its form, up to `MOST_MISTAKES`."""
    if not isinstance(value, Mapping):
        return None, [refuse(f"A {kind.name} is a mapping of names to values.")]
    endless = _find_endless(value)
    if endless is not None:
        # JSON, in which definitions are kept, has no word for them.
        return None, [refuse("This is no number, or one that is too large to write down.", endless)]
    try:
        return msgspec.convert(value, kind.type), []
    except msgspec.ValidationError as error:
        return None, list(islice(_find_all(kind, value, error), MOST_MISTAKES))
    except RecursionError:
        return None, [refuse("Nested too deeply.")]


def _find_endless(value: Any, at: str = "", depth: int = 0) -> str | None:
    """Return the path of the first number that is infinite or none at all; None where there is none."""
    if isinstance(value, float) and not math.isfinite(value):
        return at
    parts: Iterable[tuple[str, Any]] = ()
    if isinstance(value, Mapping):
        parts = ((f"{at}.{name}" if at else str(name), one) for name, one in value.items())
    elif isinstance(value, list | tuple):
        parts = ((f"{at}[{place}]", one) for place, one in enumerate(value))
    if depth > _MOST_DEPTH:
        return None
    return next(
        (found for path, one in parts if (found := _find_endless(one, path, depth + 1)) is not None), None
    )


def _find_all(
    kind: Kind, value: Mapping[str, Any], error: msgspec.ValidationError
) -> Iterator[RequestRefused]:
    """Yield what is wrong; `error` is the first of it. Of an object of no known kind nothing more can be told."""
    types = list_tagged(kind.type)
    found = types.get(str(value.get("kind", ""))) if types else kind.type
    if found is None:
        message, at = split_error(error)
        yield refuse(f"{message}. Kinds: {', '.join(types)}.", at)
        return
    for mistake in find_mistakes(found, value):
        yield refuse(f"{mistake.message}.{tell_allowed(found, mistake.of)}", mistake.at)


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
