"""The process that sends: one order per line comes in on standard input, one answer per line goes out.

`outlets` starts it with its own process id, the seconds after which it ends unless it is asked something, and the networks on the
inside that may be told. Whatever the services' code does here, it connects to nothing else on the inside, follows no redirect,
trusts no certificate unseen and loads no file.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import signal
import smtplib
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import IO, Any, Final

import msgspec
import requests
from apprise import Apprise, AppriseAsset, AppriseAttachment, NotifyBase
from apprise.attachment.memory import AttachMemory
from apprise.common import NotifyFormat, NotifyType, OverflowMode

from tallymark.alerts.inward import Guard, shut_side_doors
from tallymark.alerts.outlet_addresses import SERVICES, Unfit, explain_service, parse_address, render_hidden
from tallymark.alerts.outlet_errors import clean_text, describe_error, describe_status
from tallymark.alerts.outlet_services import ASKED_FOR_MARKDOWN
from tallymark.alerts.outlet_texts import SHAPES, build_text, put_on_line
from tallymark.alerts.outlets import PICTURE_NAME, Answer, Message, Order

_LOOK_SECONDS: Final = 0.5
# Most services' code reads an answer whole: a receiver that never stops is not to take all memory.
_MOST_MEMORY: Final = 512 << 20
# A message that reached some places of an address but not all is sent to all of them again.
_MOST_PLACES: Final = 10
_MOST_PAUSE: Final = 1.0

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
_PROBE: Final = Message(title="probe", text="probe", key="probe", id="probe", kind="test")
_TYPES: Final = {"trouble": NotifyType.FAILURE, "over": NotifyType.SUCCESS, "test": NotifyType.INFO}


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
            if order.do == "probe":
                return self._probe()
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
        shape = SHAPES.get(plugin.schema)
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

    def _probe(self) -> Answer:
        """Go the way of a message up to where it would connect."""
        with self._guard.probing() as probe:
            try:
                said = self._send(_PROBE)
            except Unfit:
                raise
            except Exception as error:  # noqa: BLE001 - services' code is to notice that nothing is connected to
                said = describe_error(error, self._order)
        if self._guard.refusals:
            return Answer(self._guard.refusals[-1])
        if probe.unknown:
            named = next((host for host in probe.unknown if host.lower() in self._order.url.lower()), "")
            name = f"{put_on_line(named)} " if named else ""
            warning = f"The name of the receiver's host {name}is not found now. Nothing arrives until it is: check how it is written."
            return Answer("", warning=warning)
        # Without a connection that it would make there is nothing that a message could go to.
        return Answer("" if probe.reached else said)

    def _open(self) -> NotifyBase:
        """Return the service's code, set up for the address; raises Unfit."""
        found = parse_address(self._order.url)
        schema = found["schema"]
        found.update(rto=self._order.seconds, cto=self._order.seconds, retry=0)
        if schema in ASKED_FOR_MARKDOWN:
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
    SERVICES.schemas()

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
