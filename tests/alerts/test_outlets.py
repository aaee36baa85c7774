"""Messages reach real receivers, or one sentence says why not; nothing that a receiver does reaches us."""

from __future__ import annotations

import base64
import ipaddress
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import msgspec
import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tallymark.alerts import outlets as outlets_room
from tallymark.alerts.outlets import Outlets
from tests.conftest import DEADLINE_SECONDS
from tests.receivers import answer

SECRET = "s3cr3t-Pa55word"


def _wait_until(true, what):
    until = time.monotonic() + DEADLINE_SECONDS
    while not true():
        assert time.monotonic() < until, what
        time.sleep(0.02)


class Sending(threading.Thread):
    """A message that is being sent while the test does something else."""

    def __init__(self, outlets, url, message):
        super().__init__(daemon=True)
        self.sent = (outlets, url, message)
        self.result = None
        self.start()

    def run(self):
        outlets, url, message = self.sent
        self.result = outlets.send(url, message)

    def wait(self):
        self.join(DEADLINE_SECONDS)
        assert not self.is_alive(), "the message is still being sent"
        return self.result


def _children(outlets):
    return [psutil.Process(child._process.pid) for child in outlets._children]


# Webhooks


def test_a_webhook_gets_the_message_with_what_a_program_needs(outlets, web, message):
    """Title, text and picture for people; key, id, kind and facts for programs, and a header that tells a repetition."""
    assert outlets.send(web.url(), message) == ""
    _, headers, _ = web.requests[0]
    got = web.json
    assert (got["title"], got["message"], got["type"]) == (message.title, message.text, "failure")
    assert (got["key"], got["id"], got["kind"], got["facts"]) == (
        message.key,
        message.id,
        "trouble",
        message.facts,
    )
    (attached,) = got["attachments"]
    assert (attached["filename"], attached["mimetype"]) == ("chart.png", "image/png")
    assert base64.b64decode(attached["base64"]) == message.picture
    assert headers["idempotency-key"] == message.id
    assert headers["user-agent"] == "tallymark"


def test_what_an_address_adds_does_not_replace_ours(outlets, web, message):
    """Headers and fields of the address are sent too, and texts may be renamed, but key, id, kind and facts stay ours."""
    options = "?+X-Team=shop&+idempotency-key=theirs&:team=shop&:key=theirs&:message=description"
    assert outlets.send(web.url("/hook" + options), message) == ""
    headers = web.requests[0][1]
    assert (headers["x-team"], headers["idempotency-key"]) == ("shop", message.id)
    assert (web.json["team"], web.json["key"], web.json["description"]) == ("shop", message.key, message.text)


def test_a_message_without_a_picture_attaches_none(outlets, web, message):
    """Only what there is is attached."""
    assert outlets.send(web.url(), msgspec.structs.replace(message, picture=b"", facts={})) == ""
    assert (web.json["attachments"], web.json["facts"]) == ([], {})


def test_a_form_gets_the_picture_as_a_file(outlets, web, message):
    """Services' code that reads the picture from a file finds it in one."""
    assert outlets.send(web.url(service="form"), message) == ""
    assert message.picture in web.requests[0][2]
    assert b'filename="chart.png"' in web.requests[0][2]


def test_a_title_is_one_line_and_signs_that_nobody_sees_are_gone(outlets, web, message):
    """A title with line ends cannot become something else, such as a header."""
    odd = msgspec.structs.replace(message, title="Orders\r\nBcc: all@people.example\x00 !", text="a\x07b\nc")
    assert outlets.send(web.url(), odd) == ""
    assert (web.json["title"], web.json["message"]) == ("Orders Bcc: all@people.example !", "ab\nc")


def test_processes_are_started_when_needed_and_used_again(outlets, web, message):
    """One process sends one message after another; a second one is started only beside a busy one."""
    assert _children(outlets) == []
    for _ in range(3):
        assert outlets.send(web.url(), message) == ""
        assert len(_children(outlets)) == 1
    assert len({json.dumps(web.json) for _ in web.requests}) == 1


# Mail


def test_a_mail_holds_text_html_and_picture(outlets, mail, message):
    """Mail programs show the HTML with its picture, and those that cannot show the plain text as it was written."""
    assert outlets.send(mail.url(), message) == ""
    (got,) = mail.mails
    parts = {part.get_content_type(): part for part in got.walk() if not part.is_multipart()}
    assert set(parts) == {"text/plain", "text/html", "image/png"}
    assert parts["text/plain"].get_content().split() == message.text.split()
    assert parts["text/html"].get_content().strip() == message.html
    assert parts["image/png"].get_content() == message.picture
    assert (parts["image/png"]["Content-ID"], parts["image/png"].get_content_disposition()) == (
        "<chart.png>",
        "inline",
    )
    assert got.get_content_type() == "multipart/related"
    assert (got["Subject"], got["To"]) == (message.title, "ann@people.example")


def test_a_mail_can_be_recognised_when_it_comes_again(outlets, mail, message):
    """The same message has the same id, and all messages of an incident refer to one, whatever the address says."""
    again = msgspec.structs.replace(message, id="shop-17-2", kind="over")
    for one in (message, message, again):
        assert outlets.send(mail.url(options="&+Message-ID=x&+references=y"), one) == ""
    assert [got.get_all("Message-ID") for got in mail.mails] == [
        ["<shop-17-1@tallymark>"],
        ["<shop-17-1@tallymark>"],
        ["<shop-17-2@tallymark>"],
    ]
    for got in mail.mails:
        assert got.get_all("References") == got.get_all("In-Reply-To") == ["<shop%2Forders%2F17@tallymark>"]
        assert got["Auto-Submitted"] == "auto-generated"


@pytest.mark.parametrize("change", [{"html": ""}, {"html": "", "picture": b""}])
def test_a_mail_without_html_is_plain_text(outlets, mail, message, change):
    """No HTML is made up: text with signs of HTML in it arrives as it is."""
    text = "5 < 7 & <b>not bold</b>"
    assert outlets.send(mail.url(), msgspec.structs.replace(message, text=text, **change)) == ""
    parts = {part.get_content_type(): part for part in mail.mails[0].walk() if not part.is_multipart()}
    assert "text/html" not in parts
    assert parts["text/plain"].get_content().startswith(text)
    assert ("image/png" in parts) == ("picture" not in change)


def test_a_refused_recipient_is_a_failure_in_the_mail_servers_words(outlets, mail, message):
    """What the mail server answered is told, but not what stands in the address, even if the server repeats it."""
    mail.refuse = lambda address: f"550 5.1.1 no mailbox {address}, password {SECRET}"
    result = outlets.send(mail.url(options=f"&+X-Key={SECRET}"), message)
    assert result.startswith("The mail server answered 550: 5.1.1 no mailbox")
    assert SECRET not in result
    assert "ann" not in result


def test_a_login_that_is_not_offered_is_a_failure(outlets, mail, message):
    """Nothing is sent without the login that the address asks for."""
    url = f"mailto://ann:{SECRET}@127.0.0.1:{mail.port}/?from=a@tallymark.example&to=b@people.example"
    assert outlets.send(url, message) == "The mail server offers no such login or encryption."
    assert mail.mails == []


def test_encryption_that_is_not_offered_is_a_failure(outlets, mail, message):
    """mailtos:// is never sent in the clear."""
    assert (
        outlets.send(mail.url(service="mailtos"), message)
        == "The mail server offers no such login or encryption."
    )
    assert mail.mails == []


# What receivers do


def test_a_redirect_is_a_failure_and_is_not_followed(outlets, open_web, message):
    """The target of a redirect is never asked, whatever its kind."""
    target = open_web()
    for status in (301, 302, 303, 307, 308):
        receiver = open_web(answer(status, Location=target.url(service="http")))
        result = outlets.send(receiver.url(), message)
        assert result.startswith(f"The receiver answered {status} ")
        assert result.endswith(" Redirects are not followed.")
        assert len(receiver.requests) == 1
    assert target.requests == []


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (500, "500 Internal Server Error"),
        (404, "404 Not Found"),
        (429, "429 Too Many Requests"),
        (599, "599"),
    ],
)
def test_an_error_is_a_failure_that_says_which(outlets, open_web, message, status, words):
    """The status is told; the answer's text is not, for it may come from anywhere."""
    receiver = open_web(answer(status, body=SECRET.encode()))
    assert outlets.send(receiver.url(), message) == f"The receiver answered {words}."


def test_a_receiver_that_hangs_is_a_failure(open_outlets, open_web, hang, message):
    """After the seconds that are allowed the message is given up, and the next one is sent."""
    outlets = open_outlets(seconds=1.0)
    receiver = open_web(hang)
    assert Sending(outlets, receiver.url(), message).wait() == "The receiver did not answer in 1 s."
    assert receiver.asked.is_set()
    outlets._seconds = DEADLINE_SECONDS
    assert outlets.send(open_web().url(), message) == ""


def test_a_receiver_that_answers_a_byte_at_a_time_is_a_failure(open_outlets, open_web, message):
    """What counts is the whole time: each byte alone would be in time."""
    stop = threading.Event()

    def drip(handler):
        while not stop.wait(0.05):
            handler.wfile.write(b"H")

    receiver = open_web(drip)
    assert (
        Sending(open_outlets(seconds=1.0), receiver.url(), message).wait()
        == "The receiver did not answer in 1 s."
    )
    stop.set()


def test_a_receiver_that_never_stops_answering_is_a_failure(outlets, open_web, message):
    """An endless answer takes a limited amount of memory, and the next message is sent."""

    def pour(handler):
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(bytes(1 << 20))

    assert Sending(outlets, open_web(pour).url(), message).wait() != ""
    assert outlets.send(open_web().url(), message) == ""


def test_a_receiver_that_hangs_up_is_a_failure(outlets, open_web, message):
    """A connection that is closed before the answer means that nothing is known to have arrived."""
    receiver = open_web(lambda handler: handler.connection.close())
    assert outlets.send(receiver.url(), message) == "The receiver closed the connection."


def test_a_receiver_that_is_not_there_is_a_failure(outlets, open_web, message):
    """A closed port and an unknown name are told apart."""
    receiver = open_web()
    receiver.close()
    assert outlets.send(receiver.url(), message) == "The receiver refused the connection."
    mailed = f"mailto://127.0.0.1:{receiver.port}/?from=a@tallymark.example&to=b@people.example"
    assert outlets.send(mailed, message) == "The receiver refused the connection."
    assert outlets.send("json://nobody.invalid/", message) == "The name of the receiver's host was not found."


def test_a_slow_receiver_holds_up_nobody_else(outlets, open_web, hang, message):
    """While one receiver hangs, others are told; once it answers, it was told too."""
    slow = open_web(hang)
    sending = Sending(outlets, slow.url(), message)
    assert slow.asked.wait(DEADLINE_SECONDS)
    assert outlets.send(open_web().url(), message) == ""
    assert sending.is_alive()
    hang.go()
    assert sending.wait() == ""


def test_no_more_processes_run_than_allowed(open_outlets, open_web, hang, message):
    """Who finds all processes busy waits for one of them."""
    outlets = open_outlets(most=1)
    slow = open_web(hang)
    first = Sending(outlets, slow.url(), message)
    assert slow.asked.wait(DEADLINE_SECONDS)
    second = Sending(outlets, open_web().url(), message)
    second.join(0.2)
    assert second.is_alive()
    assert len(_children(outlets)) == 1
    hang.go()
    assert (first.wait(), second.wait()) == ("", "")


# Certificates


@pytest.fixture
def certificate(tmp_path):
    """Make a certificate for 127.0.0.1 that nobody but itself vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    private = serialization.PrivateFormat.TraditionalOpenSSL
    none = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, private, none) + made.public_bytes(
        serialization.Encoding.PEM
    )
    path.write_bytes(pem)
    return path


def test_certificates_are_checked(outlets, open_web, certificate, message, monkeypatch):
    """A receiver that nobody vouches for gets nothing, one that is vouched for does; nothing goes out in the clear."""
    receiver = open_web()
    assert (
        outlets.send(receiver.url(service="jsons"), message)
        == "No encrypted connection to the receiver could be made."
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    receiver.server.socket = context.wrap_socket(receiver.server.socket, server_side=True)
    result = outlets.send(receiver.url(service="jsons"), message)
    assert result.startswith("The receiver's certificate is not valid: self")
    assert receiver.requests == []
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    trusting = Outlets(("127.0.0.1",), seconds=DEADLINE_SECONDS)
    assert trusting.send(receiver.url(service="jsons"), message) == ""
    trusting.close()


# Processes


def test_a_process_that_is_killed_is_a_failure_and_is_replaced(outlets, open_web, hang, message):
    """Whether the message arrived is not known, and the next one is sent by another process."""
    slow = open_web(hang)
    sending = Sending(outlets, slow.url(), message)
    assert slow.asked.wait(DEADLINE_SECONDS)
    (child,) = _children(outlets)
    child.kill()
    result = sending.wait()
    assert (
        result
        == "The process that sends messages ended before it answered. Whether the message arrived is not known."
    )
    assert outlets.send(open_web().url(), message) == ""
    assert child.pid not in {one.pid for one in _children(outlets)}


def test_a_process_that_died_between_two_messages_is_not_noticed(outlets, web, message):
    """It is replaced before the next message."""
    assert outlets.send(web.url(), message) == ""
    (child,) = _children(outlets)
    ours = next(iter(outlets._children))._process
    child.kill()
    _wait_until(lambda: ours.poll() is not None, "it is dead")
    assert outlets.send(web.url(), message) == ""
    assert not child.is_running()


def test_a_process_without_work_ends_and_leaves_nothing(outlets, web, message, monkeypatch):
    """It is cleared away by itself, without another message that would find it."""
    monkeypatch.setattr(outlets_room, "_IDLE_SECONDS", 0.2)
    assert outlets.send(web.url(), message) == ""
    _wait_until(lambda: not outlets._children, "it is ended")
    assert not [one for one in psutil.Process().children() if one.status() == psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("started", [0, 1])
def test_without_room_for_a_thread_nothing_is_left_over(outlets, web, message, monkeypatch, started):
    """A process that could not be watched is asked nothing: it is ended or kept, and the failure is said."""

    def fail(_):
        raise RuntimeError("can't start new thread")

    if started:
        assert outlets.send(web.url(), message) == ""
    with monkeypatch.context() as patched:
        patched.setattr(outlets_room.threading.Timer, "start", fail)
        assert "could not be started" in outlets.send(web.url(), message)
    assert len(outlets._children) == len(outlets._idle) == started
    assert outlets.send(web.url(), message) == ""


def test_a_process_that_stands_still_is_a_failure(open_outlets, web, message):
    """A process that takes no order, however large, is ended and replaced."""
    outlets = open_outlets()
    assert outlets.send(web.url(), message) == ""
    (child,) = _children(outlets)
    child.suspend()
    outlets._seconds = 0.5
    large = msgspec.structs.replace(message, picture=os.urandom(1 << 20))
    assert Sending(outlets, web.url(), large).wait() == "The receiver did not answer in 0.5 s."
    outlets._seconds = DEADLINE_SECONDS
    assert outlets.send(web.url(), large) == ""


def test_idle_processes_end_by_themselves(open_outlets, web, message, monkeypatch):
    """A process to which nothing was given for some minutes is gone, and the next message starts another."""
    monkeypatch.setattr(outlets_room, "_IDLE_SECONDS", 0.2)
    outlets = open_outlets()
    assert outlets.send(web.url(), message) == ""
    (child,) = _children(outlets)
    _wait_until(lambda: child.status() == psutil.STATUS_ZOMBIE, "it ended")
    assert outlets.send(web.url(), message) == ""


def test_closing_ends_all_processes(open_outlets, web, open_web, hang, message):
    """Who still waits gets a sentence, and nothing is sent any more."""
    outlets = open_outlets()
    slow = open_web(hang)
    sending = Sending(outlets, slow.url(), message)
    assert slow.asked.wait(DEADLINE_SECONDS)
    assert outlets.send(web.url(), message) == ""
    children = _children(outlets)
    assert len(children) == 2
    outlets.close()
    assert "ended before it answered" in sending.wait()
    _, alive = psutil.wait_procs(children, timeout=DEADLINE_SECONDS)
    assert not alive
    assert "nothing is sent any more" in outlets.send(web.url(), message)
    outlets.close()


PARENT = """
import sys, threading
import tallymark.alerts.claims
from tallymark.alerts.outlets import Message, Outlets
url, slow = sys.argv[1:]
message = Message(title="t", text="x", key="k", id="i", kind="test")
outlets = Outlets(("127.0.0.1",), seconds=600)
threading.Thread(target=outlets.send, args=(slow, message), daemon=True).start()
assert sys.stdin.readline() == "it is being sent\\n"
assert outlets.send(url, message) == "", "sent"
assert outlets.check(url) == "", "checked"
assert outlets.hide_secrets(url), "hidden"
assert not {"apprise", "requests", "smtplib"} & set(sys.modules), "the services' code is loaded here"
print("sent", flush=True)
sys.stdin.readline()
"""


def test_processes_end_with_their_parent_which_never_loads_the_services_code(open_web, hang, web):
    """A parent that is killed leaves no process behind, not even one that is sending; apprise is only in the children."""
    slow = open_web(hang)
    command = [sys.executable, "-c", PARENT, web.url(), slow.url()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert slow.asked.wait(DEADLINE_SECONDS)
        parent.stdin.write(b"it is being sent\n")
        parent.stdin.flush()
        assert parent.stdout.readline() == b"sent\n"
        children = psutil.Process(parent.pid).children(recursive=True)
        assert len(children) == 2
        parent.send_signal(signal.SIGKILL)
        parent.wait(DEADLINE_SECONDS)
    _, alive = psutil.wait_procs(children, timeout=DEADLINE_SECONDS)
    assert not alive


def test_a_message_that_is_no_json_is_a_failure(outlets, message):
    """Nothing is raised for facts that cannot be told."""
    assert "cannot be written as JSON" in outlets.send(
        "json://127.0.0.1", msgspec.structs.replace(message, facts={"x": object()})
    )
    assert "cannot be written as JSON" in outlets.send(
        "json://127.0.0.1", msgspec.structs.replace(message, text="\ud800")
    )
