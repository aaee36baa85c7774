"""What a browser does of it all: sign in, keep a connection open, load a page with all that it needs, and remember that.

`Viewer` loads addresses of a server on this machine; `Cache` counts the bytes of a visit.
"""

from __future__ import annotations

import gzip
import html
import html.parser
import http.client
import re
from collections import Counter
from dataclasses import dataclass
from urllib.parse import urlencode, urljoin


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came over the wire."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        packed = self.headers.get("Content-Encoding") == "gzip"
        return (gzip.decompress(self.body) if packed else self.body).decode()

    @property
    def size(self) -> int:
        """Bytes of body and headers."""
        return len(self.body) + sum(len(name) + len(value) + 4 for name, value in self.headers.items()) + 17


class Viewer:
    """Somebody with a browser: one connection that is kept open, and cookies."""

    def __init__(self, port: int, cookies: str = "") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=180)
        self.cookies = cookies

    def get(self, path: str, **headers: str) -> Answer:
        """Fetch an address."""
        return self._send("GET", path, None, {"Accept-Encoding": "gzip", **headers})

    def sign_in(self) -> str:
        """Send the sign-in form; returns the cookies."""
        form = self.get("/sign-in")
        found = re.search(r'name="csrf" value="([^"]*)"', form.text)
        assert found, form.text
        self.cookies = _read_cookies(form)
        fields = {"csrf": html.unescape(found[1]), "name": "admin", "password": "bench-password"}
        answer = self._send(
            "POST", "/sign-in", urlencode(fields), {"Content-Type": "application/x-www-form-urlencoded"}
        )
        assert answer.status == 303, answer.text
        self.cookies = _read_cookies(answer)
        return self.cookies

    def load(self, path: str) -> Answer:
        """Fetch an address that must be there."""
        answer = self.get(path)
        assert answer.status == 200, answer.text
        return answer

    def _send(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> Answer:
        self._connection.request(method, path, body, {"Cookie": self.cookies, **headers})
        answer = self._connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())


def _read_cookies(answer: Answer) -> str:
    return "; ".join(one.partition(";")[0] for one in answer.headers.get_all("Set-Cookie", []))


class _References(html.parser.HTMLParser):
    """Collects what a page makes a browser load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        wanted = tag in ("script", "img") or (tag == "link" and given.get("rel") in ("stylesheet", "icon"))
        address = given.get("href" if tag == "link" else "src")
        if wanted and address and not address.startswith("data:"):
            self.found.append(address)


class Cache:
    """A browser's cache: what it may show again unasked, and what it must ask for again."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        # Whether it is fresh, its ETag, and what it refers to.
        self._kept: dict[str, tuple[bool, str, list[str]]] = {}

    def visit(self, page: str) -> Counter[str]:
        """Load a page with all that it needs; returns the bytes on the wire by address."""
        loaded: Counter[str] = Counter()
        waiting, seen = [page], set()
        while waiting:
            address = waiting.pop()
            if address in seen:
                continue
            seen.add(address)
            fresh, etag, references = self._kept.get(address, (False, "", []))
            if not fresh:
                answer = self._viewer.get(address, **({"If-None-Match": etag} if etag else {}))
                assert answer.status in (200, 304), (address, answer.status)
                loaded[address] = answer.size
                if answer.status == 200:
                    references = _find_references(address, answer)
                self._keep(address, answer, references)
            waiting += references
        return loaded

    def _keep(self, address: str, answer: Answer, references: list[str]) -> None:
        rules = answer.headers.get("Cache-Control", "no-store")
        if "no-store" not in rules:
            age = re.search(r"max-age=(\d+)", rules)
            fresh = "no-cache" not in rules and age is not None and int(age[1]) > 0
            self._kept[address] = (fresh, answer.headers.get("ETag", ""), references)


def _find_references(address: str, answer: Answer) -> list[str]:
    kind = answer.headers.get_content_type()
    found: list[str] = []
    if kind == "text/html":
        found = _References(answer.text).found
    elif kind == "text/css":
        found = re.findall(r"""url\(["']?(?!data:)([^"')#]+)""", answer.text)
    elif (
        kind == "text/javascript" and len(answer.body) < 100_000
    ):  # not in the charts' runtime, which is one bundle
        found = re.findall(r"""^import\s[^;]*?["'](\.[^"']+)["'];""", answer.text, re.MULTILINE)
    return [urljoin(address, one) for one in found]
