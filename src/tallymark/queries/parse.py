"""From the bytes of a request to a typed question, or to an error that says what is allowed.

Comes in: JSON or the object decoded from it. Goes out: one of the kinds' structs, checked whole: what parses here can
be run. The web room, the CLI and the pages call it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tallymark.queries.kinds import KINDS, Question
from tallymark.queries.question import refuse

MAX_BYTES: Final = 512 * 1024
_PLACE: Final = re.compile(r" - at `\$?(.*?)`$", re.DOTALL)
_STEP: Final = re.compile(r"\.?([^.\[\]]+)|\[([^\]]*)\]")


def parse_question(raw: bytes | Mapping[str, Any]) -> Question:
    """Turn JSON, or an object decoded from it, into a question.

    Raises `RequestRefused` with `invalid_question` or `unknown_field`, the path of the mistake in `at`, and in its
    message what is allowed there.
    """
    value = _decode(raw) if isinstance(raw, bytes) else raw
    if not isinstance(value, Mapping):
        raise refuse(f"A question is a JSON object with a kind: {_kinds()}.", "")
    question = _convert(dict(value))
    # Building the statement checks what the types cannot: times, zones, fields, operators and values.
    question.build_sql("", question.period(), exact=True)
    return question


def describe_questions() -> dict[str, Any]:
    """Return the JSON Schema of a question; its parts are named under `$defs`."""
    return msgspec.json.schema(Question)


def _decode(raw: bytes) -> Any:
    if len(raw) > MAX_BYTES:
        raise refuse(f"A question has at most {MAX_BYTES:,} bytes, not {len(raw):,}.", "")
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refuse(f"The question is not JSON: {error}.", "") from None
    except RecursionError:
        raise refuse("The question is nested too deeply.", "") from None


def _convert(value: dict[str, Any]) -> Question:
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in _BY_TAG:
        said = "no kind" if kind is None else f"the unknown kind {str(kind)[:80]!r}"
        raise refuse(f"The question has {said}. Allowed: {_kinds()}.", "kind")
    try:
        question: Question = msgspec.convert(value, Question)
    except msgspec.ValidationError as error:
        message, at = split_error(error)
        allowed = tell_allowed(_BY_TAG[kind], at)
        raise refuse(f"{message}.{allowed}", at) from None
    except RecursionError:
        raise refuse("The question is nested too deeply.", "") from None
    return question


def split_error(error: msgspec.ValidationError) -> tuple[str, str]:
    """Return what a decoder found wrong, and the path of the value such as `series[0].name`."""
    text = str(error)
    found = _PLACE.search(text)
    return (text[: found.start()], found[1].lstrip(".")) if found else (text, "")


def _kinds() -> str:
    return ", ".join(KIND_NAMES)


def tell_allowed(kind: type[msgspec.Struct], at: str) -> str:
    """Return a sentence with what may stand at the path, '' where the type says it all."""
    node: Any = msgspec.inspect.type_info(kind)
    for key, index in _STEP.findall(at):
        node = _inner(node, key if not index else "")
    node = _plain(node)
    if isinstance(node, msgspec.inspect.LiteralType):
        return f" Allowed: {', '.join(map(str, node.values))}."
    if isinstance(node, msgspec.inspect.StructType):
        return f" Fields: {', '.join(field.encode_name for field in node.fields)}."
    return ""


def _inner(node: Any, key: str) -> Any:
    """Return the type one step further: a struct's field, or a list's element where `key` is ''."""
    node = _plain(node)
    if isinstance(node, msgspec.inspect.UnionType):
        return next((found for one in node.types if (found := _inner(one, key)) is not None), None)
    if isinstance(node, msgspec.inspect.StructType):
        return next((field.type for field in node.fields if field.encode_name == key), None)
    return getattr(node, "item_type", None)


def _plain(node: Any) -> Any:
    """Return the type without its remarks and without null."""
    while True:
        if isinstance(node, msgspec.inspect.Metadata):
            node = node.type
        elif isinstance(node, msgspec.inspect.UnionType):
            others = [one for one in node.types if not isinstance(one, msgspec.inspect.NoneType)]
            if len(others) > 1 and all(isinstance(one, msgspec.inspect.StructType) for one in others):
                # Which of them is meant the place alone does not tell.
                return node
            node = others[0]
        else:
            return node


_BY_TAG: Final[dict[str, type[Question]]] = {str(kind.__struct_config__.tag): kind for kind in KINDS}
KIND_NAMES: Final = tuple(_BY_TAG)
