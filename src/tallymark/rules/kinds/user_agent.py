"""User agents, reduced to browser, major version and system: "Chrome 126 on Windows"."""

from __future__ import annotations

import re

from tallymark.rules.places import KEY_HINTS, Kind, Place
from tallymark.rules.rule import Rule

_BROWSERS = (
    ("Edge", re.compile(r"Edg(?:e|A|iOS)?/(\d+)")),
    ("Opera", re.compile(r"OPR/(\d+)")),
    ("Samsung Internet", re.compile(r"SamsungBrowser/(\d+)")),
    ("Firefox", re.compile(r"(?:Firefox|FxiOS)/(\d+)")),
    ("Chrome", re.compile(r"(?:Chrome|CriOS)/(\d+)")),
    ("Safari", re.compile(r"Version/(\d+)[.\d]* (?:Mobile/\w+ )?Safari")),
    ("Internet Explorer", re.compile(r"(?:MSIE |Trident/.*rv:)(\d+)")),
)
_SYSTEMS = (
    ("iOS", re.compile(r"iPhone|iPad|iPod")),
    ("Android", re.compile(r"Android")),
    ("Windows", re.compile(r"Windows")),
    ("macOS", re.compile(r"Mac OS X|Macintosh")),
    ("ChromeOS", re.compile(r"CrOS")),
    ("Linux", re.compile(r"Linux|X11")),
)
# Longer ones say no more in what follows, and cost more to search.
_AGENT_LENGTH = 512
# Cubot makes telephones.
_BOT = re.compile(r"(?i)(?<!cu)bot\b|crawl|spider|slurp")
_PRODUCT = re.compile(r"^([A-Za-z][\w.+-]{0,40})/(\d+)")
# What stands under a name for user agents is one where it names a product and its version, or has a comment.
_AGENT = re.compile(r"(?a)[A-Za-z][\w.+!-]{0,63}/(?:v?\d|\S{1,64} \()")


def coarsen_user_agent(text: str) -> str:
    """Reduce a user agent to browser, major version and system: "Chrome 126 on Windows"."""
    text = text[:_AGENT_LENGTH]
    if _BOT.search(text):
        return "bot"
    system = next((name for name, pattern in _SYSTEMS if pattern.search(text)), "")
    for name, pattern in _BROWSERS:
        found = pattern.search(text)
        if found:
            return f"{name} {found[1]}" + (f" on {system}" if system else "")
    product = _PRODUCT.match(text)
    if product and product[1] != "Mozilla":
        return f"{product[1]} {product[2]}"
    return f"other on {system}" if system else "other"


def redact_agents(text: str, place: Place) -> tuple[str, int]:
    """Coarsen a text that is a user agent: by `Mozilla/` at its start, or by its place and its form."""
    if text.startswith("Mozilla/") or (place.kind is Kind.AGENT and _AGENT.match(text)):
        return coarsen_user_agent(text), 1
    return text, 0


RULE = Rule(
    "user_agent",
    redact_agents,
    hints=((rb'"Mozilla/',), (KEY_HINTS[Kind.AGENT], rb'[\w.+!-]/(?:v?\d|[^ "]+ \()')),
)
