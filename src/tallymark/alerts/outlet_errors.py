"""Why a message did not arrive, in one sentence without secrets.

Comes in: what was raised on the way, a status, or what services' code said, and the address whose pieces are secret. Goes out: a
sentence for people. It loads requests and smtplib, so it is imported by the sending process alone.
"""

from __future__ import annotations

import base64
import http.client
import re
import smtplib
import socket
import ssl
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote, unquote

import requests

from tallymark.alerts.inward import InwardRefused
from tallymark.alerts.outlet_texts import put_on_line
from tallymark.alerts.outlets import Order


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
    return put_on_line(text).replace(" .", ".")[:200]


def _list_secrets(url: str) -> list[str]:
    """Return every piece of an address in every form in which it may come back, the longest first."""
    raw = re.split(r"[:/?&=@#,;\s]+", url.partition("://")[2])
    pieces = {form for piece in raw for form in (piece, unquote(piece))}
    forms = {*pieces, *(quote(piece, safe="") for piece in pieces)}
    forms |= {base64.b64encode(piece.encode("utf-8", "replace")).decode().rstrip("=") for piece in pieces}
    return sorted((form for form in forms if len(form) > 2), key=len, reverse=True)
