"""Writing and removing definitions that people make, with all checks; the API and the pages call it.

What stands in a file is changed there; who changes an object says which version they saw. All of it is blocking.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tallymark.catalog.definitions import Definition, Removal, Write
from tallymark.errors import RequestRefused
from tallymark.plan.changes import collect_objects
from tallymark.plan.kinds import BY_NAME, Kind
from tallymark.plan.objects import Objects, check_object, encode_object
from tallymark.plan.references import find_users
from tallymark.web.services import Services

# A kind, an object of it, and the version of it that its maker saw (0: a new one).
Made = tuple[Kind, Any, int]


def save_object(services: Services, project: str, kind: Kind, one: Any, *, seen: int, who: str) -> None:
    """Write an object that somebody made in the pages or over the API; raises as `save_objects` does."""
    save_objects(services, project, [(kind, one, seen)], who)


def save_objects(services: Services, project: str, made: Sequence[Made], who: str) -> None:
    """Write objects that somebody made, all or none; each may use those before it. Blocking.

    Raises RequestRefused: `invalid_definition`, `owned_by_file`, `in_use` where something that uses one would not hold
    any more, `conflict`.
    """
    present = services.definitions.list(project)
    objects = collect_objects(present)
    for kind, one, _ in made:
        _refuse_owned(
            next((item for item in present if (item.kind, item.name) == (kind.name, one.name)), None)
        )
        before = objects[kind.name].get(one.name)
        objects[kind.name][one.name] = one
        check_object(kind, one, objects)
        if before is not None:
            _refuse_breaking(kind, before, objects)
    writes = [Write(kind.name, one.name, encode_object(one), seen) for kind, one, seen in made]
    services.definitions.change(project, who, writes)


def remove_object(services: Services, project: str, kind: Kind, name: str, *, seen: int, who: str) -> None:
    """Take an object away; blocking. Raises RequestRefused: `not_found`, `owned_by_file`, `in_use`, `conflict`."""
    present = services.definitions.list(project)
    found = next((item for item in present if (item.kind, item.name) == (kind.name, name)), None)
    if found is None:
        raise not_found(kind, name)
    _refuse_owned(found)
    users = find_users(collect_objects(present), kind.name, name)
    if users:
        message = f"The {kind.name} {name!r} is used by {', '.join(users)}. Change those first."
        raise RequestRefused("in_use", message, at=f"{kind.plural}.{name}")
    services.definitions.change(project, who, [Removal(kind.name, name, seen or found.version)])


def _refuse_breaking(kind: Kind, before: Any, objects: Objects) -> None:
    """Refuse a change after which something that uses the object does not hold any more; what never did stays as it is."""
    name = before.name
    old = {**objects, kind.name: {**objects[kind.name], name: before}}
    for user in find_users(objects, kind.name, name):
        user_kind, user_name = user.split(" ", 1)
        one = objects[user_kind][user_name]
        wrong = _find_fault(BY_NAME[user_kind], one, objects)
        if wrong is not None and _find_fault(BY_NAME[user_kind], one, old) is None:
            message = f"The {user_kind} {user_name!r} uses it and would not hold any more: {wrong.message} Change that first."
            raise RequestRefused("in_use", message, at=f"{kind.plural}.{name}")


def _find_fault(kind: Kind, one: Any, objects: Objects) -> RequestRefused | None:
    try:
        check_object(kind, one, objects)
    except RequestRefused as refusal:
        return refusal
    return None


def _refuse_owned(found: Definition | None) -> None:
    if found is not None and found.origin:
        message = f"The {found.kind} {found.name!r} stands in {found.file}. Change it there and run 'tallymark apply'."
        raise RequestRefused("owned_by_file", message, at=f"{found.kind}s.{found.name}")


def not_found(kind: Kind, name: str) -> RequestRefused:
    """Build the error for an object that there is not."""
    return RequestRefused(
        "not_found", f"There is no {kind.name} {name[:80]!r}.", at=f"{kind.plural}.{name[:80]}"
    )
