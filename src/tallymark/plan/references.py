"""Which objects of a plan use which: what a removal would break, and where a metric is shown."""

from __future__ import annotations

from tallymark.plan.objects import Objects


def find_users(objects: Objects, kind: str, name: str) -> list[str]:
    """Return who uses an object, as `kind name`, in the order of kinds and names. Only metrics are used by others."""
    if kind != "metric":
        return []
    return [
        f"{user_kind} {user_name}"
        for user_kind, ones in objects.items()
        for user_name, one in sorted(ones.items())
        if name in one.uses() and (user_kind, user_name) != (kind, name)
    ]


def list_used(objects: Objects) -> frozenset[str]:
    """Return the names of all metrics that something uses, in one pass over all objects."""
    return frozenset(name for ones in objects.values() for one in ones.values() for name in one.uses())
