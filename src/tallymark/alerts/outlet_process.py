"""The process that sends: one order per line comes in on standard input, one answer per line goes out.

`outlets` starts it with its own process id, the seconds after which it ends unless it is asked something, and the networks on the
inside that may be told. Whatever the services' code does here, it connects to nothing else on the inside, follows no redirect,
trusts no certificate unseen and loads no file.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import logging
import os
import re
import resource
import signal
import smtplib
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import IO, Any, Final
from urllib.parse import quote, unquote

import msgspec
import requests
from apprise import Apprise, AppriseAsset, AppriseAttachment, NotifyBase, conversion, plugins
from apprise.attachment.memory import AttachMemory
from apprise.common import NotifyFormat, NotifyType, OverflowMode
from apprise.manager_plugins import NotificationManager
from apprise.plugins.email import base as mail

from tallymark.alerts.inward import Guard, InwardRefused, shut_side_doors
from tallymark.alerts.outlets import PICTURE_NAME, Answer, Message, Order

_LOOK_SECONDS: Final = 0.5
# Most services' code reads an answer whole: a receiver that never stops is not to take all memory.
_MOST_MEMORY: Final = 512 << 20
# A message that reached some places of an address but not all is sent to all of them again.
_MOST_PLACES: Final = 10
_MOST_PAUSE: Final = 1.0

_SERVICES: Final[Any] = NotificationManager()  # type: ignore[no-untyped-call]
_ASSET: Final = AppriseAsset(
    app_id="tallymark",
    app_desc="tallymark",
    app_url="",
    http_redirects=False,
    image_url_mask="",
    image_url_logo="",
    interpret_emojis=False,
    pgp_autogen=False,
    pem_autogen=False,
    storage_mode="memory",
    allow_templates=False,
)
_TYPES: Final = {"trouble": NotifyType.FAILURE, "over": NotifyType.SUCCESS, "test": NotifyType.INFO}
_PARSE: Final[Callable[[str], dict[str, Any] | None]] = plugins.url_to_dict
_ESCAPE: Final[Callable[[str], str]] = conversion.text_to_markdown

# What shows something on this machine, starts a program on it, or reads or writes its files or its log.
_LOCAL: Final = frozenset(
    ("blink1", "dbus", "exec", "file", "gio", "glib", "gnome", "growl", "kde", "macosx", "memory", "qt", "rsyslog", "syslog", "vapid", "windows")
)  # fmt: skip
_WELL_KNOWN: Final = ("mailtos", "jsons", "slack", "discord", "tgram", "workflows", "pagerduty", "ntfys")
_WEBHOOKS: Final = frozenset(("json", "jsons", "form", "forms", "xml", "xmls"))
# They make a mail of it, so they get the HTML where there is some.
_MAILERS: Final = frozenset(
    ("mailto", "mailtos", "azure", "brevo", "groundmail", "mailersend", "mailgun", "o365", "postmark", "resend", "sendgrid", "sendpulse", "ses", "smtp2go", "sparkpost")
)  # fmt: skip
# They read Markdown into plain text. The first can be asked for Markdown, the others take it as their plain text.
_ASKED_FOR_MARKDOWN: Final = frozenset(("discord", "guilded"))
_READ_MARKDOWN: Final = frozenset(("mmost", "mmosts", "nctalk", "nctalks"))

_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_LINK: Final = re.compile(r"(https?://[^\s<>\"]*[^\s<>\".,;:!?)\]])")
# What calls people in one chat or another; the text of an alert holds what strangers sent.
_CALL: Final = re.compile(r"@(?=(?:everyone|here|channel|all|room|online)\b|[*_])|(?<=<)(?=[@!#&]|users/)")


class Unfit(ValueError):
    """An address that cannot be told; its text is a sentence for people, without secrets."""


class Sender:
    """Carries out orders, one at a time. What goes wrong on the way is noted, for services' code says little of it."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._order = Order(do="check", url="", seconds=0)
        self._failures: list[str] = []
        self._heard: list[str] = []
        self._asked_for_file = False

    def install(self) -> None:
        """Stand between the services' code and its ways out."""
        send = requests.Session.send

        def send_directly(session: Any, request: Any, **options: Any) -> requests.Response:
            options.update(allow_redirects=False, proxies={}, verify=options.get("verify") or True)
            response = send(session, request, **options)
            if 300 <= response.status_code < 400:
                response.close()
                raise requests.TooManyRedirects(describe_status(response.status_code))
            if response.status_code >= 400:
                self._failures.append(describe_status(response.status_code))
            return response

        def load_nothing(*_: Any, **__: Any) -> None:
            self._asked_for_file = True

        logging.getLogger("apprise").addFilter(self._hear)
        # Our picture is handed over as it is. What this would load is named by the address.
        _replace(AppriseAttachment, instantiate=staticmethod(load_nothing))
        _replace(requests.Session, send=self._noting(send_directly))
        steps = ("__init__", "starttls", "login", "sendmail")
        _replace(smtplib.SMTP, **{name: self._noting(getattr(smtplib.SMTP, name)) for name in steps})

    def carry_out(self, order: Order) -> Answer:
        """Do what is asked. Never raises."""
        self._order = order
        self._asked_for_file = False
        for noted in (self._failures, self._heard, self._guard.refusals):
            noted.clear()
        try:
            if order.message is not None:
                return Answer(self._send(order.message))
            if order.do == "hide":
                return Answer(render_hidden(self._open()))
            self._open()
        except Unfit as unfit:
            return Answer(str(unfit), done=order.do != "hide")
        except Exception as error:  # noqa: BLE001 - whatever a service's code does, the next order is answered
            return Answer(describe_error(error, self._order), done=False)
        return Answer("")

    def _send(self, message: Message) -> str:
        plugin = self._open()
        shape = _SHAPES.get(plugin.schema)
        if shape is not None:
            shape(plugin, message)
        title, body, written_in = build_text(plugin, message)
        with contextlib.closing(_Picture(message.picture)) as picture:
            took = plugin.notify(
                title=title,
                body=body,
                body_format=written_in,
                notify_type=_TYPES[message.kind],
                attach=picture if message.picture else None,
                # Sent in pieces it would take long, and a piece that fails would bring all of them again.
                overflow=OverflowMode.TRUNCATE,
            )
        if took:
            return ""
        if self._failures or self._guard.refusals:
            return (self._failures or self._guard.refusals)[-1]
        return self._add_heard(f"{plugin.service_name} did not take the message.")

    def _open(self) -> NotifyBase:
        """Return the service's code, set up for the address; raises Unfit."""
        found = parse_address(self._order.url)
        schema = found["schema"]
        found.update(rto=self._order.seconds, cto=self._order.seconds, retry=0)
        if schema in _ASKED_FOR_MARKDOWN:
            found.setdefault("format", NotifyFormat.MARKDOWN.value)
        plugin = None
        with contextlib.suppress(Exception):
            # Its reason is among what we heard.
            plugin = Apprise.instantiate(found, asset=_ASSET, suppress_exceptions=False)
        if self._asked_for_file:
            raise Unfit(
                "Receivers load no files or addresses. Take the option away that names one (such as template=)."
            )
        if plugin is None:
            raise Unfit(self._add_heard(explain_service(schema)))
        if plugin.port is not None and not 1 <= plugin.port <= 65535:
            raise Unfit(f"The port {plugin.port} does not exist. Allowed are 1 to 65535.")
        if len(plugin) > _MOST_PLACES:
            raise Unfit(f"{len(plugin)} places are too many for one receiver. Allowed are {_MOST_PLACES}.")
        plugin.request_rate_per_sec = min(plugin.request_rate_per_sec, _MOST_PAUSE)
        return plugin

    def _add_heard(self, sentence: str) -> str:
        heard = clean_text(self._heard[0], self._order.url) if self._heard else ""
        return f"{sentence} {heard}".rstrip()

    def _noting(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        """Note what a function raises: most services' code keeps it for itself."""

        def noted(*given: Any, **named: Any) -> Any:
            try:
                return plain(*given, **named)
            except Exception as error:
                self._failures.append(describe_error(error, self._order))
                raise

        return noted

    def _hear(self, record: logging.LogRecord) -> bool:
        """Keep what apprise says; it goes nowhere else, for it may hold secrets."""
        self._heard.append(record.getMessage())
        return False


def _replace(owner: type, **ours: Any) -> None:
    for name, function in ours.items():
        setattr(owner, name, function)


class _Picture(AttachMemory):
    """The picture of a message. Services' code that wants a file gets one, for as long as it sends."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content, PICTURE_NAME, "image/png")  # type: ignore[no-untyped-call]
        self._content = content
        self._file: IO[bytes] | None = None

    @property
    def path(self) -> str:
        if self._file is None:
            self._file = tempfile.NamedTemporaryFile(suffix=".png")  # noqa: SIM115 - closed when the message is sent
            self._file.write(self._content)
            self._file.flush()
        return self._file.name

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def parse_address(url: str) -> dict[str, Any]:
    """Read an address into what its service's code is set up with; raises Unfit."""
    service = re.match(r"[a-z0-9]{1,32}(?=://)", url.lower())
    if service is None or not url.isprintable():
        raise Unfit(f"A receiver's address is one line and begins with its service. {_list_services()}")
    found = None if service.group() in _LOCAL else _PARSE(url)
    schema = service.group() if found is None else found["schema"]
    if schema in _LOCAL:
        raise Unfit(f"{schema}:// stays on this machine, which no receiver may. {_list_services()}")
    if found is None:
        raise Unfit(explain_service(schema))
    if not _SERVICES[schema].enabled:
        raise Unfit(f"{schema}:// needs a library that is not installed here. {_list_services()}")
    if not found.get("verify", True):
        raise Unfit("The receiver's certificate is always checked. Take verify=no away.")
    if found.get("redirect"):
        raise Unfit("Redirects are not followed. Take redirect=yes away.")
    return dict(found)


def explain_service(schema: str) -> str:
    """Say what an address of a service looks like, or which services there are."""
    if schema in {"http", "https"}:
        return "For a webhook write jsons:// in place of https://, and json:// in place of http://."
    if schema not in _SERVICES:
        return f"No service has addresses with {schema}://. {_list_services(schema)}"
    plugin = _SERVICES[schema]
    forms = ", ".join(form.replace("{schema}", schema) for form in plugin.templates[:3])
    return f"This is not an address of {plugin.service_name}. Allowed are {forms}; see {plugin.setup_url}."


def _list_services(schema: str = "") -> str:
    """Say which services there are, those first whose names are like this one."""
    allowed = sorted(set(_SERVICES.schemas()) - _LOCAL)
    shown = dict.fromkeys([*get_close_matches(schema, allowed), *_WELL_KNOWN])
    names = ", ".join(f"{name}://" for name in shown)
    return f"Allowed are {names} and {len(allowed) - len(shown)} others of apprise."


def render_hidden(plugin: Any) -> str:
    """Return what of an address may be shown: apprise's own form for that, without what it still tells."""
    if plugin.schema in {"ntfy", "ntfys", "lametric", "lametrics"}:
        # The topic is all that one needs to know in order to read there, and so is an app's number.
        return f"{plugin.schema}://****"
    if plugin.schema in _WEBHOOKS:
        port = f":{plugin.port}" if plugin.port else ""
        path = "/****" if plugin.fullpath.strip("/") else ""
        return f"{plugin.schema}://{'****@' if plugin.user else ''}{plugin.host}{port}{path}"
    # Options may be headers and the like.
    shown = unquote(plugin.url(privacy=True).partition("?")[0])
    return f"{plugin.schema}://****" if plugin.password and plugin.password in shown else shown


def build_text(plugin: NotifyBase, message: Message) -> tuple[str, str, NotifyFormat]:
    """Return title and body as the service is to be given them, and what the body is written in."""
    title = " ".join(_CONTROLS.sub(" ", message.title).split())
    text = _CONTROLS.sub("", message.text) or title
    if plugin.schema in _MAILERS:
        if message.html and plugin.resolve_format(NotifyFormat.HTML) is NotifyFormat.HTML:
            # Only a mail that is made here holds its picture.
            ours = plugin.schema in {"mailto", "mailtos"}
            html = message.html if ours else re.sub(r"<img\b[^>]*\bcid:[^>]*>", "", message.html)
            return title, html, NotifyFormat.HTML
        return title, text, NotifyFormat.TEXT
    if plugin.schema in _WEBHOOKS:
        return title, text, NotifyFormat.TEXT
    title, text = calm(title), calm(text)
    if plugin.resolve_format(NotifyFormat.TEXT) is NotifyFormat.MARKDOWN:
        # Without a field of its own the title becomes a part of the body.
        title = title if plugin.title_maxlen > 0 else _ESCAPE(title)
        return title, build_markdown(text), NotifyFormat.MARKDOWN
    return title, build_markdown(text) if plugin.schema in _READ_MARKDOWN else text, NotifyFormat.TEXT


def build_markdown(text: str) -> str:
    """Return Markdown that shows plain text as it is, with links that work."""
    parts = [_ESCAPE(part) for part in _LINK.split(text)]
    links = [f"({link.replace('(', '%28').replace(')', '%29')})" for link in _LINK.findall(text)]
    # Every second part is a link.
    parts[1::2] = [f"[{part}]{link}" for part, link in zip(parts[1::2], links, strict=True)]
    return "".join(parts)


def calm(text: str) -> str:
    """Break what calls people by an invisible sign, so that it is only read."""
    return _CALL.sub("\\g<0>\u200b", text)


def _shape_mail(plugin: Any, message: Message) -> None:
    """Let mail programs recognise the same message and put those of one incident together."""
    incident = f"<{quote(message.key, safe='')}@tallymark>"
    ours = {"References": incident, "In-Reply-To": incident, "Auto-Submitted": "auto-generated"}
    plugin.headers = _drop_headers(plugin.headers, "message-id", *ours) | ours
    plugin.inline = True
    # apprise would make up an id, and the plain text from the HTML. This process sends one message at a time.
    vars(mail).update(
        make_msgid=lambda **_: f"<{quote(message.id, safe='')}@tallymark>",
        convert_between=lambda *_: message.text,
    )


def _shape_webhook(plugin: Any, message: Message) -> None:
    """Give a webhook what it needs to recognise the message and to understand it without reading text."""
    header = {"Idempotency-Key": quote(message.id, safe="")}
    plugin.headers = _drop_headers(plugin.headers, *header) | header
    ours = {"key": message.key, "id": message.id, "kind": message.kind, "facts": message.facts}
    plugin.payload_extras = ours | plugin.payload_extras | ours


def _shape_pagerduty(plugin: Any, message: Message) -> None:
    """Open one incident there per incident here, and close it."""
    plugin.dedup = message.key
    plugin.action = "resolve" if message.kind == "over" else "trigger"


_SHAPES: Final[dict[str, Callable[[NotifyBase, Message], None]]] = {
    "mailto": _shape_mail,
    "mailtos": _shape_mail,
    "json": _shape_webhook,
    "jsons": _shape_webhook,
    "pagerduty": _shape_pagerduty,
}


def _drop_headers(headers: dict[str, str], *names: str) -> dict[str, str]:
    dropped = {name.lower() for name in names}
    return {name: value for name, value in headers.items() if name.strip().lower() not in dropped}


def describe_status(status: int) -> str:
    """Say what an HTTP status means to us."""
    told = f"The receiver answered {status} {http.client.responses.get(status, '')}".rstrip()
    return f"{told}. Redirects are not followed." if 300 <= status < 400 else f"{told}."


# Read from the top. `said` are others' words, cleaned.
_REASONS: Final[tuple[tuple[Any, str], ...]] = (
    ((InwardRefused, requests.TooManyRedirects), "{error}"),
    (ssl.SSLCertVerificationError, "The receiver's certificate is not valid: {said}."),
    (ssl.SSLError, "No encrypted connection to the receiver could be made."),
    ((TimeoutError, requests.Timeout), "The receiver did not answer in {order.seconds:g} s."),
    (socket.gaierror, "The name of the receiver's host was not found."),
    (ConnectionRefusedError, "The receiver refused the connection."),
    ((smtplib.SMTPRecipientsRefused, smtplib.SMTPResponseException), "The mail server answered {said}"),
    (smtplib.SMTPNotSupportedError, "The mail server offers no such login or encryption."),
    ((ConnectionError, smtplib.SMTPServerDisconnected), "The receiver closed the connection."),
    (MemoryError, "The receiver's answer is too long."),
    (OSError, "The receiver could not be told ({said})."),
)


def describe_error(error: BaseException, order: Order) -> str:
    """Say in one sentence why nothing was sent, without secrets."""
    # What went wrong at the bottom tells more than what was made of it.
    causes = list(_list_causes(error))[::-1]
    for kinds, sentence in _REASONS:
        found = next((cause for cause in causes if isinstance(cause, kinds)), None)
        if found is not None:
            said = clean_text(_find_words(found), order.url, whole=True)
            return sentence.format(error=found, order=order, said=said)
    return f"The message could not be sent ({type(error).__name__})."


def _find_words(error: BaseException) -> str:
    """Return what the other side, or the system, said."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        error = smtplib.SMTPResponseException(*next(iter(error.recipients.values())))
    if isinstance(error, smtplib.SMTPResponseException):
        reply = error.smtp_error
        return f"{error.smtp_code}: {reply.decode('utf-8', 'replace') if isinstance(reply, bytes) else reply}"
    words = getattr(error, "verify_message", None) or getattr(error, "strerror", None)
    return str(words or type(error).__name__)


def _list_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Return an exception and all that led to it."""
    seen: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and one not in seen:
            seen.append(one)
            # urllib3 keeps the cause in `reason`, requests among the arguments.
            waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
            yield one


def clean_text(text: str, url: str, *, whole: bool = False) -> str:
    """Return others' words on one short line, without what stands in the address.

    Unless `whole`, without what is quoted or in brackets: there services' code likes to repeat what it was given.
    """
    if not whole:
        text = re.sub(r"\([^)]*\)|'[^']*'|\"[^\"]*\"|\[[^\]]*\]", "", text)
    for secret in _list_secrets(url):
        text = re.sub(re.escape(secret), "****", text, flags=re.IGNORECASE)
    return " ".join(_CONTROLS.sub(" ", text).split()).replace(" .", ".")[:200]


def _list_secrets(url: str) -> list[str]:
    """Return every piece of an address in every form in which it may come back, the longest first."""
    raw = re.split(r"[:/?&=@#,;\s]+", url.partition("://")[2])
    pieces = {form for piece in raw for form in (piece, unquote(piece))}
    forms = {*pieces, *(quote(piece, safe="") for piece in pieces)}
    forms |= {base64.b64encode(piece.encode("utf-8", "replace")).decode().rstrip("=") for piece in pieces}
    return sorted((form for form in forms if len(form) > 2), key=len, reverse=True)


def take_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Keep standard input and output for orders and answers; what libraries read is nothing, what they print is no answer."""
    orders, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return orders, answers


class _Watch:
    """Ends this process when its parent is gone, however it ended, and when nothing was asked for long."""

    def __init__(self, parent: int, seconds: float) -> None:
        self._parent = parent
        self._seconds = seconds
        self.idle_since: float | None = None

    def run(self) -> None:
        while os.getppid() == self._parent:
            since = self.idle_since
            if since is not None and time.monotonic() - since > self._seconds:
                break
            time.sleep(_LOOK_SECONDS)
        os._exit(0)


def main() -> None:
    """Answer orders until there are no more."""
    orders, answers = take_pipes()
    # A key that stops the server is for the parent; a message on its way is sent.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watch = _Watch(int(sys.argv[1]), float(sys.argv[2]))
    threading.Thread(target=watch.run, name="watch-parent", daemon=True).start()
    shut_side_doors()
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    guard = Guard(sys.argv[3:])
    guard.install()
    sender = Sender(guard)
    sender.install()
    # Loads the services' code, so that no receiver has to wait for it.
    _SERVICES.schemas()

    answer = Answer("ready")
    while True:
        answers.write(msgspec.json.encode(answer) + b"\n")
        answers.flush()
        watch.idle_since = time.monotonic()
        line = orders.readline()
        watch.idle_since = None
        if not line:
            return
        answer = sender.carry_out(msgspec.json.decode(line, type=Order))


if __name__ == "__main__":
    main()
