"""What may not be kept about people, and how it is taken out of a text, a value or an event.

The redact step and the quarantine apply these rules before anything reaches a disk; each counts what it did.
The rules are in `kinds/`; docs/privacy.md tells what each looks for. They can be switched off per project, one by one.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tallymark.rules.kinds import KINDS
from tallymark.rules.kinds.email import is_address
from tallymark.rules.places import ID, NAME, TEXT, VERSION, Kind, Place, find_place
from tallymark.rules.rule import Rule

RULES = tuple(
    sorted(
        (rule.name for rule in KINDS), key=("email", "card", "url_token", "ip_address", "user_agent").index
    )
)

# The sender's identity of the event: changing it would break repetition and trace.
_UNTOUCHED = "event_id"


@dataclass(frozen=True, slots=True)
class PrivacyRules:
    """Which rules a project has switched on. `secret` keys the pseudonyms that replace ids.

    `possible` are those that a quick look has not excluded: the others find nothing in the texts as they came.
    """

    enabled: frozenset[str] = frozenset(RULES)
    secret: bytes = b""
    possible: frozenset[str] = frozenset(RULES)


@dataclass(frozen=True, slots=True)
class NameProblem:
    """A name that a rule forbids: the rule, and the member of the event in which the name stands."""

    rule: str
    member: str


@lru_cache(maxsize=64)
def _list_active(enabled: frozenset[str]) -> tuple[Rule, ...]:
    return tuple(rule for rule in KINDS if rule.name in enabled)


def redact_text(
    text: str, rules: PrivacyRules, counts: Counter[str], *, key: str = "", place: Place = TEXT
) -> str:
    """Return `text` without what the rules forbid; `counts` gets one per replacement, by rule.

    `key` is the name of the member under which the text stands, `place` the place of what holds that member.
    An identifier is replaced as a whole, by a pseudonym: different ones stay different.
    """
    where = find_place(key, place) if key else place
    changed = False
    for rule in _list_active(rules.enabled):
        # Once a text was changed, what was excluded of it may be possible: "a@b.io::1" has no address, "[email]::1" has.
        if not changed and rule.name not in rules.possible:
            continue
        clean, found = rule.redact(text, where)
        if not found:
            continue
        changed = True
        counts[rule.name] += found
        if _stays_countable(rule, text, clean, where):
            return build_pseudonym(rule.name, text, rules.secret)
        text = clean
    return text


def redact_id(text: str, rules: PrivacyRules, counts: Counter[str]) -> str:
    """Return an identifier, or the pseudonym of one that is itself what a rule forbids."""
    return redact_text(text, rules, counts, place=ID)


def _stays_countable(rule: Rule, text: str, clean: str, place: Place) -> bool:
    """Tell whether what a rule found has to stay apart from other findings."""
    if rule.doubtful_alone and clean == rule.placeholder:
        return True
    # What has spaces is a sentence about a number, not the number.
    return place.identifies and (place.kind is Kind.ID or not any(map(str.isspace, text)))


def build_pseudonym(rule: str, text: str, secret: bytes) -> str:
    """Return what stands for an identifier: the rule, and 96 bits of a keyed BLAKE2b hash.

    Only who has the installation's secret can find out whether it stands for a given text. Small and capital letters
    of an e-mail address are one, as they are for the post; all else stays different if it differs at all.
    """
    same = text.strip().lower() if is_address(text.strip()) else text
    return f"{rule}-{hashlib.blake2b(same.encode(), key=secret, digest_size=12).hexdigest()}"


def redact_value(
    value: Any, rules: PrivacyRules, counts: Counter[str], *, key: str = "", place: Place = TEXT
) -> Any:
    """Return a JSON value with every text in it redacted. Names of members stay: see `find_name_problem`."""
    where = find_place(key, place) if key else place
    if isinstance(value, str):
        return redact_text(value, rules, counts, place=where)
    if isinstance(value, dict):
        return {
            name: redact_value(item, rules, counts, key=name, place=where) for name, item in value.items()
        }
    if isinstance(value, list):
        return [redact_value(item, rules, counts, place=where) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        text = str(value)
        clean = redact_text(text, rules, counts, place=where)
        return value if clean == text else clean
    return value


def find_name_problem(
    names: dict[str, str], attributes: dict[str, Any], rules: PrivacyRules
) -> NameProblem | None:
    """Return the first name that a rule forbids, or None.

    `names` are those of the event by member, such as its `event_name`; of the attributes those at any depth are looked at.
    """
    for member, name in names.items():
        rule = _find_rule(name, NAME, rules)
        if rule:
            return NameProblem(rule, member)
    for name, place in _list_names(attributes, TEXT):
        rule = _find_rule(name, place, rules)
        if rule:
            return NameProblem(rule, "attributes")
    return None


def _find_rule(name: str, place: Place, rules: PrivacyRules) -> str:
    active = _list_active(rules.enabled & rules.possible)
    return next((rule.name for rule in active if rule.redact(name, place)[1]), "")


def _list_names(value: Any, place: Place) -> Iterator[tuple[str, Place]]:
    """Yield the names of members at any depth, each with its own place: names below `versions` may be versions."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield name, _find_name_place(place)
            if isinstance(item, dict | list):
                yield from _list_names(item, find_place(name, place))
    elif isinstance(value, list):
        for item in value:
            yield from _list_names(item, place)


def _find_name_place(parent: Place) -> Place:
    return VERSION if parent.kind is Kind.VERSION else NAME


def redact_body(value: Any, rules: PrivacyRules, counts: Counter[str]) -> tuple[Any, int]:
    """Return an event that failed, as its JSON value, without what the rules forbid, and how many names were changed.

    Its members are judged as they are in an event that did not fail, so that a replay finds the same ids. Names are
    redacted: the event is not accepted under them, and the quarantine may not tell them.
    """
    clean, changed = _redact_named(value, TEXT, rules, counts)
    if isinstance(value, dict) and isinstance(value.get(_UNTOUCHED), str):
        clean[_UNTOUCHED] = value[_UNTOUCHED]
    return clean, changed


def _redact_named(value: Any, place: Place, rules: PrivacyRules, counts: Counter[str]) -> tuple[Any, int]:
    """Redact a value with the names of its members; also return how many names were changed."""
    if isinstance(value, list):
        items = [_redact_named(item, place, rules, counts) for item in value]
        return [item for item, _ in items], sum(more for _, more in items)
    if not isinstance(value, dict):
        return redact_value(value, rules, counts, place=place), 0
    changed = 0
    redacted: dict[str, Any] = {}
    for name, item in value.items():
        clean_name = redact_text(name, rules, counts, place=_find_name_place(place))
        clean, more = _redact_named(item, find_place(name, place), rules, counts)
        changed += more + (clean_name != name)
        redacted[_find_free(clean_name, name, redacted, value)] = clean
    return redacted, changed


def _find_free(clean: str, name: str, taken: dict[str, Any], others: dict[str, Any]) -> str:
    """Return `clean`, numbered where another member has that name: two names may become one, both values stay."""
    free, number = clean, 1
    while free in taken or (free != name and free in others):
        number += 1
        free = f"{clean} {number}"
    return free
