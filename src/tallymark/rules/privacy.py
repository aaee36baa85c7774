"""What may not be kept about people, and how it is taken out of a text, a value or an event.

The redact step and the quarantine apply these rules before anything reaches a disk; each counts what it did.
The rules are in `kinds/`; docs/privacy.md tells what each looks for. They can be switched off per project, one by one.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from tallymark.rules.kinds import KINDS
from tallymark.rules.places import NAME, TEXT, VERSION, Kind, Place, find_place
from tallymark.rules.rule import Rule

RULES = tuple(rule.name for rule in KINDS)

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
    # Both as rules, in their order.
    all_rules: tuple[Rule, ...] = field(init=False, repr=False, compare=False)
    asked_rules: tuple[Rule, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "all_rules", _list_rules(self.enabled))
        object.__setattr__(self, "asked_rules", _list_rules(self.enabled & self.possible))


@dataclass(frozen=True, slots=True)
class NameProblem:
    """A name that a rule forbids: the rule, and the member of the event in which the name stands."""

    rule: str
    member: str


# Shorter words without any sign hold nothing that a rule could find, but for secrets by their place.
_SHORT_WORD = 18
# Smaller integers are no card numbers, which are the only integers that a rule finds.
_FEWEST_DIGITS = 10**12
_SECRET_KINDS = (Kind.PASSWORD, Kind.TOKEN)


@lru_cache(maxsize=256)
def _list_rules(enabled: frozenset[str]) -> tuple[Rule, ...]:
    return tuple(rule for rule in KINDS if rule.name in enabled)


def _is_word(text: str) -> bool:
    return len(text) < _SHORT_WORD and text.isidentifier()


def redact_text(
    text: str, rules: PrivacyRules, counts: Counter[str], *, key: str = "", place: Place = TEXT
) -> str:
    """Return `text` without what the rules forbid; `counts` gets one per replacement, by rule.

    `key` is the name of the member under which the text stands, `place` the place of what holds that member.
    An identifier is replaced as a whole, by a pseudonym: different ones stay different.
    """
    return _redact(text, find_place(key, place) if key else place, rules, counts)


def _redact(text: str, place: Place, rules: PrivacyRules, counts: Counter[str]) -> str:
    if _is_word(text) and place.kind not in _SECRET_KINDS:
        return text
    for rule in rules.asked_rules:
        clean, found = rule.redact(text, place)
        if found:
            counts[rule.name] += found
            if _stays_countable(rule, text, clean, place):
                return build_pseudonym(rule, text, rules.secret)
            return _redact_on(clean, place, rules, counts, after=rule)
    return text


def _redact_on(text: str, place: Place, rules: PrivacyRules, counts: Counter[str], *, after: Rule) -> str:
    """Apply the rules behind `after` to a text that was changed.

    What a quick look excluded may be possible now: "a@b.io::1" holds no IP address, "[email]::1" does.
    """
    begun = False
    for rule in rules.all_rules:
        if not begun:
            begun = rule is after
            continue
        clean, found = rule.redact(text, place)
        if found:
            counts[rule.name] += found
            if _stays_countable(rule, text, clean, place):
                return build_pseudonym(rule, text, rules.secret)
            text = clean
    return text


def _stays_countable(rule: Rule, text: str, clean: str, place: Place) -> bool:
    """Tell whether what a rule found has to stay apart from other findings."""
    if rule.doubtful_alone and clean == rule.placeholder:
        return True
    # What has spaces is a sentence about a number, not the number.
    return place.identifies and (place.kind is Kind.ID or not any(map(str.isspace, text)))


def build_pseudonym(rule: Rule, text: str, secret: bytes) -> str:
    """Return what stands for an identifier: the rule's name, and 96 bits of a keyed BLAKE2b hash.

    Only somebody who has the installation's secret can find out whether it stands for a given text.
    """
    same = rule.normalize(text)
    return f"{rule.name}-{hashlib.blake2b(same.encode(), key=secret, digest_size=12).hexdigest()}"


def redact_value(
    value: Any, rules: PrivacyRules, counts: Counter[str], *, key: str = "", place: Place = TEXT
) -> Any:
    """Return a JSON value with every text in it redacted. Names of members stay: see `find_name_problem`."""
    return _redact_value(value, find_place(key, place) if key else place, rules, counts)


def _redact_value(value: Any, place: Place, rules: PrivacyRules, counts: Counter[str]) -> Any:
    kind = value.__class__
    if kind is str:
        return _redact(value, place, rules, counts)
    if kind is dict:
        return {
            name: _redact_value(item, find_place(name, place), rules, counts) for name, item in value.items()
        }
    if kind is list:
        return [_redact_value(item, place, rules, counts) for item in value]
    if kind is int and value > _FEWEST_DIGITS:
        text = str(value)
        clean = _redact(text, place, rules, counts)
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
    if _is_word(name):
        return ""
    for rule in rules.asked_rules:
        if rule.redact(name, place)[1]:
            return rule.name
    return ""


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
