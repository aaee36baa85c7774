"""YAML as plain values that know their line and column: what a plan's files are read with.

A strict part of YAML: no anchors and aliases, no tags, no key twice, no date or odd number by accident. Text comes
in, a value and the places of all its parts go out; a mistake says where it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from tallymark.plan.words import refuse

MAX_BYTES: Final = 1024 * 1024
_MAX_DEPTH: Final = 30
_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT: Final = re.compile(
    r"[-+]?((0|[1-9][0-9]*)\.[0-9]*|\.[0-9]+|(0|[1-9][0-9]*)(?=[eE]))([eE][-+]?[0-9]+)?"
)
_STEP: Final = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")
_WORDS: Final = {"true": True, "false": False, "null": None, "~": None, "": None}
# Loader for its grammar only: what scalars mean is decided here.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Path = tuple[str | int, ...]
Place = tuple[int, int]


@dataclass(slots=True)
class Document:
    """A value of dictionaries, lists, texts, numbers, booleans and None; `places` are (line, column) from 1 by path."""

    value: Any
    places: dict[Path, Place] = field(default_factory=dict)

    def place_of(self, path: Path) -> Place:
        """Return where a path stands, or the nearest part above it that is there."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, (1, 1))


def parse_path(text: str) -> Path:
    """Return `metrics[0].name` as its steps."""
    return tuple(int(index) if index else name for name, index in _STEP.findall(text))


def parse_yaml(text: str) -> Document:
    """Read one document; raises RequestRefused (invalid_definition) whose `at` is `line L, column C`."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise refuse(f"A file may have {MAX_BYTES:,} bytes.", "line 1, column 1")
    try:
        _check_events(text)
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise refuse(f"This is no YAML: {error.problem or error.context}.", _at(mark)) from None
    except (yaml.YAMLError, UnicodeEncodeError, RecursionError) as error:
        raise refuse(f"This is no YAML: {str(error).splitlines()[0]}.", "line 1, column 1") from None
    document = Document(None)
    if root is not None:
        document.value = _read(root, (), document.places)
    return document


def _at(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark is not None else "line 1, column 1"


def _check_events(text: str) -> None:
    """Refuse, before anything is built, what could be small as text and huge or endless as a value."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        at = _at(event.start_mark)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise refuse("Anchors and aliases are not read: write the value where it belongs.", at)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                raise refuse(f"Nested deeper than {_MAX_DEPTH} levels.", at)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise refuse(f"Tags such as {str(tag)[:40]!r} are not read.", at)


def _read(node: yaml.Node, path: Path, places: dict[Path, Place]) -> Any:
    places[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
    if isinstance(node, yaml.MappingNode):
        return _read_mapping(node, path, places)
    if isinstance(node, yaml.SequenceNode):
        return [_read(item, (*path, number), places) for number, item in enumerate(node.value)]
    if not isinstance(node, yaml.ScalarNode):
        raise refuse("This is no YAML that is read here.", _at(node.start_mark))
    return node.value if node.style in ("'", '"', "|", ">") else read_plain(node.value)


def _read_mapping(node: yaml.MappingNode, path: Path, places: dict[Path, Place]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, item in node.value:
        at = _at(key.start_mark)
        if not isinstance(key, yaml.ScalarNode):
            raise refuse("A key is a text.", at)
        if key.value in found:
            raise refuse(f"{key.value[:80]!r} stands here twice.", at)
        found[key.value] = _read(item, (*path, key.value), places)
        # A mistake in a member is shown at its name, not at its value.
        places[*path, key.value] = (key.start_mark.line + 1, key.start_mark.column + 1)
    return found


def read_plain(text: str) -> Any:
    """Return what an unquoted scalar means, as in YAML 1.2's JSON schema: no `yes`, no dates, no octal numbers."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text) and len(text) < 20:
        return int(text)
    if _FLOAT.fullmatch(text) and len(text) < 40:
        return float(text)
    return text
