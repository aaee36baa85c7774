"""What may not be kept about people, and how it is taken out of a text.

The redact step and the quarantine apply these rules before anything reaches a disk; each counts what it did.
The list, with examples, stands in docs/privacy.md. Rules can be switched off per project, one by one.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

RULES = ("email", "card", "url_token", "ip_address", "user_agent")

# What a JSON text must hold, as bytes, for any rule to change it (RE2 syntax; escapes are looked for elsewhere). A
# hint may find too much; the test of the scan shows that none finds too little.
HINTS = (
    rb"[@=]",  # e-mail addresses, credentials and tokens of URLs
    rb"\.eyJ",  # tokens
    rb"(?i)(?:bearer|basic)[\s\x0b]",
    # No issuer's numbers begin with 1, but the milliseconds since 1970 do; UUIDs hold such runs inside of words.
    rb"(?:^|[^0-9A-Za-z_.\-])[02-9](?:\d{12}|\d{3}[ -](?:\d{4}[ -]\d{4}[ -]\d|\d{6}[ -]\d{4}))",
    rb"\.\d{1,3}\.\d{1,3}\.\d",
    rb":(?::|[0-9a-fA-F]{1,4}:[0-9a-fA-F]{0,4}:)",
    rb"Mozilla/",
)
# The name under which a user agent stands; its value names a product and its version, so a slash comes with it.
AGENT_HINT = rb'(?i)(?:agent|"ua)"\s*:'

# Every pattern is bounded, and begins where nothing of its own kind stands before it: a long text made to be slow
# takes no more time than any other of its length. The test of the same name tries each rule's worst text.
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+'-])[A-Za-z0-9._%+'-]{1,64}+@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}"
)
# In one run, in fours, or as American Express prints them; never inside a longer number, a word or a UUID.
_CARD = re.compile(
    r"(?a)(?<![\w.-])(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}|\d{4}([ -])\d{6}\2\d{4,5})(?![\w-]|\.\d)"
)
_USERINFO = re.compile(r"(?<=://)[^/\s?#@]{1,256}@")
_URL_TOKEN = re.compile(
    r"(?i)([?&;#](?:[a-z0-9]{1,40}[_.-]){0,6}(?:token|auth|authorization|key|apikey|secret|password|passwd|pwd|sig|signature|"
    r"session|sessionid|sid|jwt|code|credential|otp)=)([^&#;\s\"'<>]+)"
)
_JWT = re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,4096}+\.eyJ[A-Za-z0-9_-]{5,65536}+\.[A-Za-z0-9_-]*")
_BEARER = re.compile(r"(?ia)\b(bearer|basic)\s{1,8}[A-Za-z0-9._~+/=-]{12,}")
_IPV4 = re.compile(r"(?a)(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.]*\d)")
_IPV6 = re.compile(
    r"(?<![0-9A-Za-z:.])(?:[0-9a-fA-F]{0,4}:){2,7}(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9a-fA-F]{0,4})(?![0-9A-Za-z:])"
)
_AGENT_KEY = re.compile(r"(?ia)^(?:.*[._$-])?(?:http_)?user[_ -]?agent$|^ua$")
_VERSION_KEY = re.compile(r"(?i)version")

# Prefixes and lengths that issuers use (ISO/IEC 7812); they keep time stamps and order numbers out.
_ISSUERS = re.compile(
    r"^(?:4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|[68]\d)\d{11}|6(?:011|5\d\d|4[4-9]\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|62\d{14,17})$"
)

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
_BOT = re.compile(r"(?i)bot\b|crawl|spider|slurp")
_PRODUCT = re.compile(r"^([A-Za-z][\w.+-]{0,40})/(\d+)")


@dataclass(frozen=True, slots=True)
class PrivacyRules:
    """Which rules a project has switched on. `secret` keys the pseudonyms that replace addresses in ids."""

    enabled: frozenset[str] = frozenset(RULES)
    secret: bytes = b""


def redact_text(text: str, rules: PrivacyRules, counts: Counter[str], *, key: str = "") -> str:
    """Return `text` without what the rules forbid; `counts` gets one per replacement, by rule.

    `key` is the name under which the text stands: user agents are known by it, versions are no addresses.
    """
    for name, redact in _TEXT_RULES:
        if name in rules.enabled:
            text = redact(text, counts, key)
    return text


def redact_id(text: str, rules: PrivacyRules, counts: Counter[str]) -> str:
    """Return an identifier with an e-mail address replaced by a stable pseudonym.

    Who is counted by it stays countable; who it is cannot be read back without the installation's secret.
    """
    if "@" in text and "email" in rules.enabled and _EMAIL.search(text):
        counts["email"] += 1
        return (
            "email-"
            + hashlib.blake2b(text.strip().lower().encode(), key=rules.secret, digest_size=12).hexdigest()
        )
    return redact_text(text, rules, counts)


def redact_value(value: Any, rules: PrivacyRules, counts: Counter[str], *, key: str = "") -> Any:
    """Return a JSON value with every text in it redacted, names of members included."""
    if isinstance(value, str):
        return redact_text(value, rules, counts, key=key)
    if isinstance(value, dict):
        return _redact_members(value, rules, counts)
    if isinstance(value, list):
        return [redact_value(item, rules, counts, key=key) for item in value]
    if (
        isinstance(value, int)
        and not isinstance(value, bool)
        and "card" in rules.enabled
        and is_card_number(str(value))
    ):
        counts["card"] += 1
        return "[card]"
    return value


def _redact_members(members: dict[str, Any], rules: PrivacyRules, counts: Counter[str]) -> dict[str, Any]:
    redacted: dict[str, Any] = {}
    for name, item in members.items():
        clean = short = redact_text(name, rules, counts)
        number = 1
        # Two names may become one; both values stay.
        while clean in redacted or (clean != name and clean in members):
            number += 1
            clean = f"{short} {number}"
        redacted[clean] = redact_value(item, rules, counts, key=name)
    return redacted


def is_card_number(digits: str) -> bool:
    """Tell whether digits are a payment card's: an issuer's prefix and length, and the Luhn check (ISO/IEC 7812-1)."""
    if not _ISSUERS.match(digits):
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        number = int(digit)
        if place % 2:
            number = number * 2 - 9 if number > 4 else number * 2
        total += number
    return total % 10 == 0


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


def truncate_address(text: str) -> str | None:
    """Cut an IP address to its network (IPv4 /24, IPv6 /48); None when it is no address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    address = mapped or address
    prefix = 24 if address.version == 4 else 48
    return str(ipaddress.ip_network(f"{address}/{prefix}", strict=False).network_address)


def _redact_agents(text: str, counts: Counter[str], key: str) -> str:
    if text.startswith("Mozilla/") or ("/" in text and key and _AGENT_KEY.match(key)):
        counts["user_agent"] += 1
        return coarsen_user_agent(text)
    return text


def _redact_url_tokens(text: str, counts: Counter[str], key: str) -> str:  # noqa: ARG001 - rules share one shape
    found = 0
    if "=" in text:
        text, found = _URL_TOKEN.subn(r"\1[token]", text)
    if "://" in text and "@" in text:
        text, more = _USERINFO.subn("[token]@", text)
        found += more
    if "eyJ" in text:
        text, more = _JWT.subn("[token]", text)
        found += more
    if " " in text:
        text, more = _BEARER.subn(r"\1 [token]", text)
        found += more
    counts["url_token"] += found
    return text


def _redact_emails(text: str, counts: Counter[str], key: str) -> str:  # noqa: ARG001 - rules share one shape
    if "@" not in text:
        return text
    text, found = _EMAIL.subn("[email]", text)
    counts["email"] += found
    return text


def _redact_cards(text: str, counts: Counter[str], key: str) -> str:  # noqa: ARG001 - rules share one shape
    def replace(match: re.Match[str]) -> str:
        if not is_card_number(re.sub(r"[ -]", "", match[0])):
            return match[0]
        counts["card"] += 1
        return "[card]"

    return _CARD.sub(replace, text)


def _redact_addresses(text: str, counts: Counter[str], key: str) -> str:
    if key and _VERSION_KEY.search(key):
        return text

    def replace(match: re.Match[str]) -> str:
        short = truncate_address(match[0])
        if short is None or short == match[0]:
            return match[0]
        counts["ip_address"] += 1
        return short

    if text.count(".") >= 3:
        text = _IPV4.sub(replace, text)
    if text.count(":") >= 2:
        text = _IPV6.sub(replace, text)
    return text


# Tokens go before addresses: a token may hold what looks like one. Agents first: the rest has less to read.
_TEXT_RULES: tuple[tuple[str, Callable[[str, Counter[str], str], str]], ...] = (
    ("user_agent", _redact_agents),
    ("url_token", _redact_url_tokens),
    ("email", _redact_emails),
    ("card", _redact_cards),
    ("ip_address", _redact_addresses),
)
