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
