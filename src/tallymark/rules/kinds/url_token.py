"""Credentials: parameters named like secrets, users in URLs, HTTP's Bearer and Basic, web tokens, keys of well-known services.

A word is no credential: "Basic subscription", "bearer of news" and `?country_code=DE` stay.
"""

from __future__ import annotations

import re
from functools import lru_cache

from tallymark.rules.names import KEYS_OF, PASSWORD_WORDS, TOKEN_WORDS, join_words, read_words, split_name
from tallymark.rules.places import KEY_HINTS, Kind, Place
from tallymark.rules.rule import Rule
from tallymark.rules.secrets import holds_credentials, looks_secret

PLACEHOLDER = "[token]"

_PARAMETER = re.compile(r"(?a)(?<![\w.\[\]%-])(-{0,2}\w[\w.\[\]%-]{0,80})=(?!\[token\])([^&;#\s\"'<>]+)")
_USER = re.compile(r"(?<=://)(?!\[token\]@)([^/\s?#@]{1,256})@(?=(\S{0,24}))")
_WEB_TOKEN = re.compile(
    r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,4096}+\.eyJ[A-Za-z0-9_-]{5,65536}+\.[A-Za-z0-9_-]*"
)
_SCHEME = re.compile(r"(?ia)\b(bearer|basic)([ \t]{1,8})(?!(?:bearer|basic)\s)([A-Za-z0-9._~+/=-]{6,}+)")
_HEADER = re.compile(r"(?i)authorization[\"']?\s?[:=]\s?[\"']?$")
# Keys that well-known services give out, ours among them; each has a prefix so that it can be found.
_SERVICE_KEY = re.compile(
    r"(?<![A-Za-z0-9_-])(?:(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{10,256}|gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_[A-Za-z0-9_]{30,255}"
    r"|glpat-[A-Za-z0-9_-]{16,64}|xox[abeoprs]-[A-Za-z0-9-]{10,256}|A[KS]IA[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{35}|npm_[A-Za-z0-9]{30,64}"
    r"|whsec_[A-Za-z0-9+/=]{16,128}|SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,64}|tm_(?:read|write|admin)_[A-Za-z0-9_-]{24,64})"
    r"(?![A-Za-z0-9_])"
)
_SHORTEST_KEY = 18
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----[^-]*(?:-----END [A-Z0-9 ]{0,50}-----)?"
)

# The last word of a parameter's name: after the first the value is a secret whatever it is, after the second where it
# looks like one and nothing stands before the word.
# What stands here and not among the words of members is sent in addresses only, or is no secret elsewhere: the id of
# a session is one to count by where it is a member.
_ALWAYS = PASSWORD_WORDS | TOKEN_WORDS | read_words("signature sig otp sessionid jsessionid phpsessid sessid")
_PERHAPS = read_words("key code auth session sid")
# Gateways take `subscription-key` as a parameter.
_BEFORE_KEY = KEYS_OF | {"subscription"}
_BEFORE_CODE = read_words(
    "auth authorization oauth verification verify reset activation access security sms confirm confirmation login"
)
# `has_token=1` is about a token.
_ABOUT = read_words("has is no needs use with show")
# What forms say of a password instead of telling it.
_STATES = read_words(
    "missing required invalid empty set unset not changed change reset weak medium strong fair good ok valid expired too short "
    "long hidden visible true false yes no null none redacted filtered filled show hide updated mismatch incorrect wrong correct "
    "failed success undefined"
)
_STATE_WORDS = re.compile(r"[^\W\d_]+|\d+")
# `{user}:{password}` is where credentials go.
_TEMPLATE = re.compile(r"[{<$][^:]*:[{<$][^:]*|\{[^:]*\}")
_NO_USERS = frozenset(("git", "hg", "svn"))
# `scheme://package@1.2.3` and `docker://image@sha256:…`: what stands before @ is no user.
_PINNED = re.compile(r"v?\d+\.\d+\.\d+(?![.\d])|sha\d+:")


def redact_tokens(text: str, place: Place) -> tuple[str, int]:
    """Replace credentials; under a name for secrets the whole text may be one."""
    if _is_secret_value(text, place):
        return PLACEHOLDER, 1
    found = 0
    if "=" in text:
        text, found = _redact_parameters(text)
    if "://" in text and "@" in text:
        text, more = _redact_users(text)
        found += more
    if "eyJ" in text:
        text, more = _WEB_TOKEN.subn(PLACEHOLDER, text)
        found += more
    if _may_hold_service_key(text):
        text, more = _SERVICE_KEY.subn(PLACEHOLDER, text)
        found += more
        text, more = _PRIVATE_KEY.subn(PLACEHOLDER, text)
        found += more
    if " " in text or "\t" in text:
        text, more = _redact_schemes(text, place)
        found += more
    return text, found


def _may_hold_service_key(text: str) -> bool:
    """Tell quickly that a text has none of the signs by which these keys are known."""
    if len(text) < _SHORTEST_KEY:
        return False
    return "_" in text or "-" in text or "KIA" in text or "SIA" in text or "AIza" in text or "SG." in text


def _is_secret_value(text: str, place: Place) -> bool:
    if place.kind is Kind.TOKEN:
        return not any(map(str.isspace, text)) and text != PLACEHOLDER and looks_secret(text, 16)
    if place.kind is not Kind.PASSWORD or text == PLACEHOLDER:
        return False
    words = _STATE_WORDS.findall(text[:256].lower())
    return bool(words) and not _STATES.issuperset(words)


@lru_cache(maxsize=1024)
def _judge_name(name: str) -> str:
    """Return `always`, `perhaps` or nothing: whether the value of a parameter of this name is a secret."""
    words = split_name(re.sub(r"(?i)%5[bd]", ".", name))
    if not words:
        return ""
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if before in _ABOUT:
        return ""
    if (
        last in _ALWAYS
        or (last == "key" and before in _BEFORE_KEY)
        or (last == "code" and before in _BEFORE_CODE)
    ):
        return "always"
    return "perhaps" if last in _PERHAPS and (not before or last in ("session", "sid", "auth")) else ""


def _redact_parameters(text: str) -> tuple[str, int]:
    found = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal found
        judged, value = _judge_name(match[1]), match[2]
        in_url = match.string[match.start() - 1 : match.start()] in ("?", "&", ";", "#") and match.start() > 0
        if not judged:
            return match[0]
        # Outside of a URL it may be prose, such as "token=EOF".
        if not (in_url and judged == "always") and not looks_secret(value, 8):
            return match[0]
        found += 1
        return f"{match[1]}={PLACEHOLDER}"

    return _PARAMETER.sub(replace, text), found


def _redact_users(text: str) -> tuple[str, int]:
    found = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal found
        if _TEMPLATE.fullmatch(match[1]):
            return match[0]
        if ":" not in match[1] and (match[1] in _NO_USERS or _PINNED.match(match[2])):
            return match[0]
        found += 1
        return f"{PLACEHOLDER}@"

    return _USER.sub(replace, text), found


def _redact_schemes(text: str, place: Place) -> tuple[str, int]:
    found = 0
    lowered = text.lower()
    if "basic" not in lowered and "bearer" not in lowered:
        return text, 0

    def replace(match: re.Match[str]) -> str:
        nonlocal found
        scheme, value = match[1], match[3]
        named = (place.kind is Kind.TOKEN and match.start() == 0) or _HEADER.search(
            match.string[max(0, match.start() - 24) : match.start()]
        )
        secret = holds_credentials(value) if scheme.lower() == "basic" else looks_secret(value)
        if not (named or secret):
            return match[0]
        found += 1
        return f"{scheme}{match[2]}{PLACEHOLDER}"

    return _SCHEME.sub(replace, text), found


_NAME_HINT = rb"(?i)(?:" + join_words(_ALWAYS | _PERHAPS) + rb')(?:%5[bd]|[^"=&a-z])*='
_SERVICE_HINT = (
    rb"(?:[sr]k_(?:live|test)|gh[pousr]|github_pat|npm|whsec|tm_(?:read|write|admin))_[A-Za-z0-9+/=_-]{10}|glpat-|xox[abeoprs]-"
    rb"|A[KS]IA[A-Z0-9]{16}|AIza|SG\.[A-Za-z0-9_-]{16}|PRIVATE KEY-----"
)

RULE = Rule(
    "url_token",
    redact_tokens,
    hints=(
        (_NAME_HINT,),
        (rb'://[^/"]+@',),
        (rb"\.eyJ",),
        (rb"(?i)(?:bearer|basic)[ \t]{1,8}[A-Za-z0-9._~+/=-]{6}",),
        (_SERVICE_HINT,),
        (KEY_HINTS[Kind.PASSWORD],),
        (KEY_HINTS[Kind.TOKEN],),
    ),
    placeholder=PLACEHOLDER,
)
