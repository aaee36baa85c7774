"""A path in front of every address: off a request's path, onto links, moves and cookies, and onto nothing else."""

from __future__ import annotations

import asyncio

import pytest

from tallymark.web.prefix import add_prefix, lead_back, parse_prefix, remove_prefix


@pytest.mark.parametrize(
    ("url", "prefix"),
    [("", ""), ("https://example.org", ""), ("https://example.org/", ""), ("https://example.org/tm", "/tm"), ("http://x/tm/", "/tm"), ("http://x//a/b c", "/a/b%20c")],
)  # fmt: skip
def test_prefix_of_an_address(url, prefix):
    """The prefix is the address's path, without a slash at its end."""
    assert parse_prefix(url) == prefix


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("/tm/events", "/events"),
        ("/tm", "/"),
        ("/tm/", "/"),
        ("/events", "/events"),
        ("/tmx", "/tmx"),
        ("/", "/"),
    ],
)
def test_path_inside(path, inside):
    """Proxies that pass the prefix on and those that take it away are the same inside."""
    assert remove_prefix(path, "/tm") == inside


def test_page_leads_back():
    """Addresses of ours get the prefix; others', values and text do not."""
    page = '<a href="/events?x=/">/a</a> <form action="/" data-from="/live" data-value="/shop"><input value="/x"> <a href="//x/"> href=&#34;/x&#34;'
    led = '<a href="/tm/events?x=/">/a</a> <form action="/tm/" data-from="/tm/live" data-value="/shop"><input value="/x"> <a href="//x/"> href=&#34;/x&#34;'
    assert lead_back(page, "/tm") == led
    assert lead_back(page, "") == page


def test_headers_lead_back():
    """Moves and cookies stay below the prefix."""
    sent = []

    async def app(scope, receive, send):
        headers = [
            (b"location", b"/sign-in?next=%2F"),
            (b"set-cookie", b"a=b; Path=/; HttpOnly"),
            (b"Set-Cookie", b"c=/; path=/sign-in"),
        ]
        await send({"type": "http.response.start", "status": 303, "headers": headers})

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "state": {}}
    asyncio.run(add_prefix(app, "/tm")(scope, None, send))
    assert [value for _, value in sent[0]["headers"]] == [
        b"/tm/sign-in?next=%2F",
        b"a=b; Path=/tm/; HttpOnly",
        b"c=/; path=/tm/sign-in",
    ]
    assert scope["state"]["prefix"] == "/tm"
