"""What the tests of the pages share: somebody with a cookie jar, signed in or not."""

from __future__ import annotations

import re
from http.cookies import SimpleCookie
from urllib.parse import urlencode

import pytest

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Visitor:
    """Somebody with a cookie jar, without a browser's own protections."""

    def __init__(self, server):
        self.server = server
        self.cookies = {}

    def request(self, method, path, fields=None, **headers):
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        body = urlencode(fields) if fields is not None else None
        sent = {
            **(FORM if fields is not None else {}),
            **{name.replace("_", "-"): text for name, text in headers.items()},
        }
        answer = self.server.request(method, path, body, headers=sent)
        for morsel in SimpleCookie(answer.headers.get("set-cookie", "")).values():
            self.cookies[morsel.key] = morsel.value
        return answer

    def token(self, path="/settings"):
        found = re.search(rb'name="csrf" value="([^"]+)"', self.request("GET", path).body)
        assert found
        return found[1].decode()

    def sign_in(self, password=None, name="admin", **headers):
        csrf = self.token("/sign-in")
        fields = {"csrf": csrf, "name": name, "password": password or self.server.password, "next": "/events"}
        return self.request("POST", "/sign-in", fields, **headers)


@pytest.fixture(scope="session")
def make_visitor():
    """Give a maker of visitors of a server."""
    return Visitor


@pytest.fixture(scope="module")
def admin(server):
    """Sign the administrator in on the module's server."""
    visitor = Visitor(server)
    answer = visitor.sign_in()
    assert (answer.status, answer.headers["location"]) == (303, "/events")
    return visitor
