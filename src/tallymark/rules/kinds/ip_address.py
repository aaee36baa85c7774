"""IP addresses, cut to their network: /24 of IPv4, /48 of IPv6. Versions, names of classes and hardware ids are none."""

from __future__ import annotations

import re
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from tallymark.rules.places import KEY_HINTS, VERSION, Kind, Place, find_place
from tallymark.rules.rule import Rule

_IPV4 = re.compile(r"(?a)(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.]*\d)")
_IPV6 = re.compile(
    r"(?a)(?<![0-9A-Za-z.])(?<![0-9A-Fa-f]:)(?<!::)(?:[0-9a-fA-F]{0,4}:){2,7}(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9a-fA-F]{0,4})(?![0-9A-Za-z]|:[0-9A-Za-z:])"
)

# What stands before four numbers when they are a version. Only so much of the text is looked at.
_LOOK_BACK = 64
_WORD_BEFORE = re.compile(r"(?a)([A-Za-z][\w+-]*)[\s:=#\"'(\[]*$")
_NOUN_BEFORE = re.compile(
    r"(?i)(?:version|build|release|revision|firmware|section)s?(?:[\s\d.,:=(v`_]|and|or|to|from|is|was|of|than|number)*$"
)
_VERB_BEFORE = re.compile(
    r"(?i)(?:upgrad|downgrad|bump)\w*(?:\s+\S+){0,3}?\s+(?:from|to)\s+(?:v?[\d.]+\s+(?:to|->|→)\s+)?$"
)
# A product as in user agents: `Chrome/120.0.0.0`. Names of hosts have dots; Java writes `localhost/127.0.0.1`.
_PRODUCT_BEFORE = re.compile(r"(?a)(?:^|[\s(;,\"'])(?!localhost/)[A-Za-z][\w+-]*/$")
_PATH_BEFORE = re.compile(
    r"(?ia)/(?:static|dist|v|versions?|releases?|builds?|downloads?|libs?|npm|pkg|packages?|assets|cdn)/$|\bpkg:[^\s@]*@$"
)
_GLUED_BEFORE = re.compile(r"(?a)([A-Za-z]+)[_-]?$")
_BEHIND = re.compile(
    r"(?ai)[A-Za-z+]|[-.](?:rc|beta|alpha|dev|snapshot|final|ga|pre|post|build|patch|hotfix|release|stable|nightly|canary|debug)\b"
    r"|-(?:rc|beta|alpha|pre|post|build|patch|r|b)\d|\.(?:dll|exe|msi|dmg|pkg|apk|ipa|aab|zip|tar|tgz|whl|deb|rpm|jar|war|nupkg|js|css|so)\b"
)
# Words of a text that are glued to an address: `from_1.2.3.4`, `host1.2.3.4`. Those of `places` are the last words of
# members' names instead, where `from` and `server` say nothing.
_GLUED_WORDS = frozenset(
    ("ip", "ipv", "addr", "address", "host", "client", "peer", "from", "server", "src", "dst")
)

# Addresses of IPv4 as IPv6 writes them (RFC 4291).
_MAPPED = bytes(10) + b"\xff\xff"
# First groups of addresses that are given out: global, unique local, link-local, and the translated ones of 64:ff9b.
_GIVEN_OUT = re.compile(r"(?i)[23][0-9a-f]{3}|f[cd][0-9a-f]{2}|fe[89ab][0-9a-f]|64")


def truncate_address(text: str) -> str | None:
    """Cut an IP address to its network (IPv4 /24, IPv6 /48); None when it is no address."""
    # The system's own functions: a text may hold an address in every few characters, and `ipaddress` takes ten times as long.
    try:
        if ":" not in text:
            inet_pton(AF_INET, text)
            return text.rpartition(".")[0] + ".0"
        address = inet_pton(AF_INET6, text)
    except (OSError, ValueError):
        return None
    if address.startswith(_MAPPED):
        return inet_ntop(AF_INET, address[12:15] + b"\0")
    return inet_ntop(AF_INET6, address[:6] + bytes(10))


def redact_addresses(text: str, place: Place) -> tuple[str, int]:
    """Cut the addresses in a text; where a version stands there are none."""
    if place.kind is Kind.VERSION:
        return text, 0
    found = 0

    def cut(match: re.Match[str]) -> str:
        nonlocal found
        written = match[0]
        # A colon behind an address ends no address: "fe80::1: refused".
        rest = ":" if written.endswith(":") and not written.endswith("::") else ""
        written = written.removesuffix(rest)
        if not (_is_ipv6(written, place) if ":" in written else _is_ipv4(match, place)):
            return match[0]
        short = truncate_address(written)
        if short is None or short == written:
            return match[0]
        found += 1
        return short + rest

    if text.count(".") >= 3:
        text = _IPV4.sub(cut, text)
    if text.count(":") >= 2:
        text = _IPV6.sub(cut, text)
    return text, found


def _is_ipv4(match: re.Match[str], place: Place) -> bool:
    """Tell four numbers that are an address from a version, by what stands around them."""
    text, start = match.string, match.start()
    if len(text) == match.end() - start:
        return True
    if place.kind in (Kind.ADDRESS, Kind.ID):
        return not text[match.end() : match.end() + 1].isalpha()
    before = text[max(0, start - _LOOK_BACK) : start]
    word = _WORD_BEFORE.search(before)
    if word and find_place(word[1]).kind is VERSION.kind:
        return False
    glued = _GLUED_BEFORE.search(before)
    if glued and glued[1].lower() not in _GLUED_WORDS:
        return False
    return not (
        _NOUN_BEFORE.search(before)
        or _VERB_BEFORE.search(before)
        or _PRODUCT_BEFORE.search(before)
        or _PATH_BEFORE.search(before)
        or _BEHIND.match(text, match.end())
    )


def _is_ipv6(written: str, place: Place) -> bool:
    """Tell an address from names such as `Abc::Def` and from hardware ids; what parses as one is not yet one."""
    if place.kind is Kind.ADDRESS or "." in written or written == "::1":
        return True
    groups = [group for group in written.split(":") if group]
    if "::" not in written:
        # Eight groups of two digits are the id of a piece of hardware (EUI-64).
        return any(len(group) != 2 for group in groups)
    if not any(character.isdigit() for character in written):
        return False
    return len(groups) >= 4 or (not written.startswith(":") and _GIVEN_OUT.fullmatch(groups[0]) is not None)


RULE = Rule(
    "ip_address",
    redact_addresses,
    hints=(
        (rb"(?:^|[^0-9.])\d{1,3}\.\d{1,3}\.\d{1,3}\.\d",),
        (rb"(?i)(?:[0-9a-f]{1,4}:){7}[0-9a-f]",),
        (rb"(?i)[0-9a-f]:[0-9a-f]{1,4}::|::[0-9a-f]{1,4}:[0-9a-f]",),
        (rb"(?i)(?:[23f][0-9a-f]{3}|64)::",),
        (rb"(?:^|[^0-9A-Za-z:.])::1",),
        (KEY_HINTS[Kind.ADDRESS], rb"(?i)[0-9a-f]::|::[0-9a-f]"),
    ),
)
