"""The quick scan may raise false alarms, and never misses anything that a step would find."""

from __future__ import annotations

import json
from collections import Counter

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tallymark.pipeline.scan import scan_text
from tallymark.pipeline.steps.validate import find_attribute_problem
from tallymark.rules.privacy import RULES, PrivacyRules, find_name_problem, redact_text, redact_value

_PIECES = st.sampled_from(
    ["Mozilla/5.0", "curl/8", "Bearer ", "bEARER\t", "basic\u00a0", "BASIC ", "abcdefghijklmnop", "eyJabcdefgh", ".", ":", "::",
     "1.2.3.4", "192.0", "a@b.io", "@", "4111111111111111", "4111 1111 1111 1111", "3782-822463-10005", "٤١١١", "?token=abc",
     "://u:p@h/", "=", " ", "\n", "\0", "/", "2001:db8", "ffff", "\u017f", "\u212a", "é", "1", "0" * 12,
     "%40b.io", "@2x.png", "@\u0431.io", "Abc::Def", "::1", "fe80::", "2001:db8::1", "a:b::c:d1", "1:2:3:4:5:6:7:8", "v1.2.3.4", "build ",
     "hunter2", "abcdef0123456789", "password=", "api_key=", "access_token=", "code=", "?user%5Bpwd%5D=", "dXNlcjpwYXNzd29yZDE", "Authorization: ",
     "sk_live_abcdefghijkl", "AKIAABCDEFGHIJKLMNOP", "order ", "card ", "%", "-", "://git@", "git@h.io", "'"]
)  # fmt: skip
_TEXT = st.one_of(st.lists(_PIECES, max_size=6).map("".join), st.text(max_size=12))
_KEY = st.one_of(
    st.sampled_from(
        [
            "ua",
            "UA",
            "Ua",
            "user_agent",
            "User-Agent",
            "HTTP_USER_AGENT",
            "x.uSeR aGeNt",
            "k",
            "ip",
            "clientIp",
            "HOST",
            "x-forwarded-for",
            "password",
            "newPwd2",
            "passphrase[]",
            "token",
            "accessToken_1",
            "to\u212aen",
            "api key",
            "API-Key",
            "secretKey",
            "card",
            "user_id",
            "id",
            "build",
            "order_number",
            "performer_name",
            "ua_",
            "x.ua",
            "(ua)",
            "forwarded by",
            "mac_address",
            "jwt",
            "credentials?",
        ]
    ),
    _TEXT,
)
_VALUE = st.recursive(
    st.one_of(_TEXT, st.integers(-(2**70), 2**70), st.just(4111111111111111), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEY, inner, max_size=3)),
    max_leaves=5,
)


def _encodings(value) -> list[bytes]:
    """Render a value as different senders would: escaping all but ASCII, nothing, or slashes too, with and without spaces."""
    plain = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    escaped = json.dumps(value)
    return [
        plain,
        escaped.encode(),
        escaped.replace("/", "\\/").encode(),
        json.dumps(value, indent=1).encode(),
    ]


@settings(max_examples=1500, deadline=None)
@given(attributes=st.dictionaries(_KEY, _VALUE, max_size=3))
@example(attributes={"x": "Mozilla/5.0 (X11)"})
@example(attributes={"x": "a BEARER abcdefghijklmnop"})
@example(attributes={"UA": "curl/8"})
@example(attributes={"ua": "a@b.io::1"})
@example(attributes={"x": "see bearer\tabcdefghijklmnop"})
def test_a_quiet_scan_means_that_nothing_is_there(attributes):
    """Where the scan sees nobody, redaction changes nothing; without escapes and long integers validation finds nothing."""
    redacted = {rule: _redact(attributes, frozenset((rule,))) for rule in RULES}
    problem = find_attribute_problem(attributes, deep_look=True)
    hasty = find_attribute_problem(attributes, deep_look=False)
    for text in _encodings(attributes):
        scan = scan_text(text)
        for rule in RULES:
            if rule not in scan.rules:
                assert redacted[rule] == (attributes, None), (rule, text)
        assert scan.people == bool(scan.rules)
        if not scan.people:
            assert _redact(attributes, frozenset(RULES)) == (attributes, None), text
        # Leaving out what the scan has excluded changes nothing, also after others have changed the text.
        assert _redact(attributes, frozenset(RULES), scan.rules) == _redact(attributes, frozenset(RULES)), (
            text
        )
        if not scan.escapes and not scan.long_integers and b"\0" not in text:
            assert problem == hasty, text


def _redact(attributes, enabled, possible=frozenset(RULES)):
    rules = PrivacyRules(enabled, b"key", possible)
    return redact_value(attributes, rules, Counter()), find_name_problem({}, attributes, rules)


@settings(max_examples=500, deadline=None)
@given(text=_TEXT)
def test_a_quiet_scan_of_one_text(text):
    """The same for a single text under our own encoder, as the redact step uses it."""
    if not scan_text(msgspec.json.encode({"page_title": text})).people:
        assert redact_text(text, PrivacyRules(), Counter(), key="page_title") == text


@pytest.mark.parametrize(
    "quiet",
    [
        {
            "event_id": "018f2a5c-7b1e-7c3d-9e4f-0123456789ab",
            "event_time": "2026-01-31T12:00:00Z",
            "value": 1.5,
        },
        {"carrier": "UA", "origin": "JFK", "distance": 2475, "tailnum": "N12345", "note": "a base"},
        {
            "class": "std::vector::at",
            "asset": "logo.png",
            "version": "1.2.3",
            "url": "https://x.example/?page=2&utm_source=mail",
        },
        {
            "agent": "and/or",
            "note": "a basic plan",
            "at": "12:34:56",
            "mac": "00:1a:2b:3c:4d:5e",
            "tokens_used": 512,
        },
    ],
)
def test_everyday_events_need_no_second_look(quiet):
    """The scan is worth its time only when it clears common events."""
    assert not scan_text(msgspec.json.encode(quiet)).people
