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
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import psutil
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tallymark.alerts import outlets as outlets_room
from tallymark.alerts.inward import Guard
from tallymark.alerts.outlets import Order, Outlets, check_url, hide_secrets

DEADLINE_SECONDS = 90.0
SECRET = "s3cr3t-Pa55word"


def _answer(status, body=b"", **headers):
    def respond(handler):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return respond


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
        receiver = open_web(_answer(status, Location=target.url(service="http")))
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
    receiver = open_web(_answer(status, body=SECRET.encode()))
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


# The inside


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "[::ffff:7f00:1]", "[::1]", "127.0.0.1.", "[::]"]
)
def test_the_inside_is_not_told_without_permission(open_outlets, open_web, message, host):
    """Whatever name or number leads to this machine, nothing is sent, and the sentence says what allows it."""
    receiver = open_web()
    result = open_outlets("10.9.8.7").send(receiver.url(host=host), message)
    assert result.startswith("The receiver's address is on the inside (")
    assert result.endswith("allowed by the setting alert_inward.")
    assert receiver.requests == []


def test_the_clouds_passwords_are_not_asked_for(open_outlets, message):
    """The address at which clouds keep passwords is refused before anything is connected, for mail as for the web."""
    outlets = open_outlets("10.9.8.7")
    for url in (
        "json://169.254.169.254/latest",
        "mailto://169.254.169.254/?from=a@tallymark.example&to=b@people.example",
    ):
        assert "on the inside (169.254.169.254)" in outlets.send(url, message)


def test_permission_is_for_a_port_where_it_names_one(open_outlets, open_web, message):
    """One service of a machine may be told without the others."""
    open_port, other = open_web(), open_web()
    outlets = open_outlets(f"127.0.0.1:{open_port.port}")
    assert outlets.send(open_port.url(), message) == ""
    assert "on the inside" in outlets.send(other.url(), message)
    assert other.requests == []


def test_what_may_be_told_has_to_be_a_network():
    """A setting that is not understood stops the start."""
    with pytest.raises(ValueError, match="'localhost' is no address or network"):
        Outlets(("localhost",))


def test_proxies_are_not_used(open_outlets, open_web, message, monkeypatch):
    """A proxy of the environment would connect for us to where we may not."""
    proxy, receiver = open_web(), open_web()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url("", service="http"))
    assert open_outlets().send(receiver.url(), message) == ""
    assert (len(receiver.requests), proxy.requests) == (1, [])


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
import sys, threading, time
from tallymark.alerts.outlets import Message, Outlets, check_url, hide_secrets
url, slow = sys.argv[1:]
message = Message(title="t", text="x", key="k", id="i", kind="test")
outlets = Outlets(("127.0.0.1",), seconds=600)
assert outlets.send(url, message) == "", "sent"
assert check_url(url) == "", "checked"
assert hide_secrets(url), "hidden"
assert not {"apprise", "requests", "smtplib"} & set(sys.modules), "the services' code is loaded here"
threading.Thread(target=outlets.send, args=(slow, message), daemon=True).start()
print("sent", flush=True)
time.sleep(600)
"""


def test_processes_end_with_their_parent_which_never_loads_the_services_code(open_web, hang, web):
    """A parent that is killed leaves no process behind, not even one that is sending; apprise is only in the children."""
    slow = open_web(hang)
    command = [sys.executable, "-c", PARENT, web.url(), slow.url()]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout.readline() == b"sent\n"
        assert slow.asked.wait(DEADLINE_SECONDS)
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


# Addresses


@pytest.mark.parametrize(
    "url",
    [
        "json://hooks.example/x",
        f"jsons://ann:{SECRET}@hooks.example:8443/x?+X-Key={SECRET}",
        f"mailtos://ann:{SECRET}@people.example?to=bob@people.example",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general",
        "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        "discord://123456789012345678/ABCDEFabcdef",
        "tgram://123456789:abcdefghijklmnopqrstuvwxyzABCDEFG12/123456",
        "pagerduty://integrationkey@apikey",
        "ntfys://topic",
    ],
)
def test_addresses_of_known_services_are_accepted(url):
    """What a service's code can read is accepted, also as the service itself writes it."""
    assert check_url(url) == ""


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (
            f"slak://{SECRET}/x",
            [
                "No service has addresses with slak://",
                "slack://",
                "mailtos://",
                "jsons://",
                "others of apprise",
            ],
        ),
        (f"https://ann:{SECRET}@hooks.example/x", ["write jsons:// in place of https://"]),
        (SECRET, ["begins with its service", "mailtos://"]),
        ("", ["begins with its service"]),
        (f"json://hooks.example/{SECRET}\nx", ["is one line"]),
        (f"tgram://{SECRET}/1", ["not an address of Telegram", "tgram://{bot_token}"]),
        (f"json://ann:{SECRET}@", ["not an address of JSON", "json://{host}:{port}"]),
        (f"json://ann:{SECRET}@h.example:70000", ["port 70000", "1 to 65535"]),
        (f"jsons://ann:{SECRET}@h.example?verify=no", ["certificate is always checked"]),
        (f"jsons://ann:{SECRET}@h.example?redirect=yes", ["Redirects are not followed"]),
        (
            f"mailto://ann:{SECRET}@h.example?to=" + ",".join(f"p{n}@h.example" for n in range(11)),
            ["11 places", "Allowed are 10"],
        ),
        ("file:///etc/passwd", ["stays on this machine"]),
        ("syslog://", ["stays on this machine"]),
        ("rsyslog://h.example", ["stays on this machine"]),
        ("dbus://", ["stays on this machine"]),
        ("kde://", ["stays on this machine"]),
        ("gnome://", ["stays on this machine"]),
        ("glib://", ["stays on this machine"]),
        ("macosx://", ["stays on this machine"]),
        ("windows://", ["stays on this machine"]),
        ("growl://h.example", ["stays on this machine"]),
        ("blink1://", ["stays on this machine"]),
        ("vapid://ann@people.example", ["stays on this machine"]),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/?template=/etc/passwd", ["load no files"]),
        ("discord://123456789012345678/ABCDEFabcdef?template=http://10.0.0.1/x", ["load no files"]),
        ("workflows://h.example:443/w/s/?template=file:///etc/passwd", ["load no files"]),
        ("fcm://project/device?mode=oauth2&keyfile=/etc/passwd", ["load no files"]),
        (f"mailto://ann:{SECRET}@h.example?pgp=encrypt&pgppub=/etc/passwd", ["load no files"]),
    ],
)
def test_what_cannot_be_told_is_said_with_what_can(url, words, outlets, message):
    """Each sentence says what is wrong and what is allowed, and never repeats what may be secret; sending says the same."""
    problem = check_url(url)
    for word in words:
        assert word in problem
    assert SECRET not in problem
    assert outlets.send(url, message) == problem


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"jsons://ann:{SECRET}@hooks.example:8443/{SECRET}?+X-Key={SECRET}&:a={SECRET}&-b={SECRET}", "jsons://****@hooks.example:8443/****"),
        (f"json://{SECRET}@hooks.example", "json://****@hooks.example"),
        ("json://hooks.example", "json://hooks.example"),
        (f"mailtos://ann:{SECRET}@people.example?to=bob@people.example&+X-Key={SECRET}", "mailtos://ann:****@people.example/bob@people.example"),
        (f"ntfys://{SECRET}", "ntfys://****"),
        (f"lametric://{SECRET}@{SECRET}", "lametric://****"),
        (f"slak://{SECRET}/x", "slak://****"),
        (SECRET, "****"),
        ("", "****"),
    ],
)  # fmt: skip
def test_what_is_shown_of_an_address_holds_no_secret(url, shown):
    """Service and host tell people which receiver is meant; passwords, paths, options and topics stay hidden."""
    assert hide_secrets(url) == shown


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general", ["T1JJ3T3L2", "A1BRTD4JD", "TIiajkdnlazkcOXrIdevi7FQ"]),
        ("discord://123456789012345678/ABCDEFabcdef", ["123456789012345678", "ABCDEFabcdef"]),
        ("tgram://123456789:abcdefghijklmnopqrstuvwxyzABCDEFG12/77", ["abcdefghijklmnopqrstuvwxyzABCDEFG12"]),
        ("pagerduty://integrationkey@apikey", ["integrationkey", "apikey"]),
    ],
)  # fmt: skip
def test_tokens_are_hidden(url, secrets):
    """Where the address is nothing but tokens, none of them is shown."""
    shown = hide_secrets(url)
    assert shown.startswith(url[: url.index("://")])
    assert not [secret for secret in secrets if secret in shown]


def test_secrets_stay_hidden_when_addresses_cannot_be_looked_at(monkeypatch):
    """Without a process that knows services, nothing but the service is shown."""
    monkeypatch.setattr(outlets_room, "_desk", lambda: closed)
    closed = Outlets()
    closed.close()
    assert hide_secrets(f"json://ann:{SECRET}@hooks.example") == "json://****"
    assert hide_secrets(SECRET) == "****"
    problem = check_url(f"json://ann:{SECRET}@hooks.example")
    assert "could not be checked" in problem
    assert SECRET not in problem


# What services are given: those whose addresses are fixed


@pytest.fixture(scope="module")
def room():
    """Load the room of the sending process here; apprise warns when it is loaded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tallymark.alerts import outlet_process  # noqa: PLC0415 - nobody else loads it here

        outlet_process._SERVICES.schemas()
    return outlet_process


@pytest.fixture
def give(room, monkeypatch, message):
    """Send to an address without a network; returns what its service would have been posted."""

    def give_one(url, **changes):
        posted = []

        def send(session, request, **_):
            posted.append(json.loads(request.body))
            response = requests.Response()
            response.status_code, response._content = 200, b"ok"
            return response

        monkeypatch.setattr(requests.Session, "send", send)
        sender = room.Sender(Guard())
        sent = msgspec.structs.replace(message, picture=b"", **changes)
        assert sender.carry_out(Order(do="send", url=url, seconds=1, message=sent)).text == ""
        return posted[0]

    return give_one


def test_pagerduty_has_one_incident_for_ours_and_closes_it(give, message):
    """Trouble opens an incident under our key, however often it is told, and its end closes that one."""
    opened = give("pagerduty://integration@apikey/")
    assert (opened["event_action"], opened["dedup_key"]) == ("trigger", message.key)
    assert opened["payload"]["severity"] == "critical"
    closed = give("pagerduty://integration@apikey/?action=trigger&dedup=theirs", kind="over")
    assert (closed["event_action"], closed["dedup_key"]) == ("resolve", message.key)


HOSTILE = "@everyone <!channel> <@U1> *b* [x](http://evil.example) <b>h</b>\nhttps://a.example/b_c_d(1)"


def test_text_is_not_read_as_markup(give):
    """What strangers put into a name calls nobody, is no formatting and hides no link; links of ours stay links."""
    discord = json.dumps(give("discord://123456789012345678/ABCDEFabcdef", text=HOSTILE), ensure_ascii=False)
    assert "@everyone" not in discord
    assert "<@U1>" not in discord
    assert "](http://evil.example)" not in discord.replace(
        "[http://evil\\\\.example](http://evil.example)", ""
    )
    slack = give("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", text=HOSTILE)
    assert "<!channel>" not in json.dumps(slack)
    assert "<b>" not in json.dumps(slack)


@pytest.mark.parametrize(
    ("text", "calmed"),
    [
        ("@everyone", "@\u200beveryone"),
        ("@here @channel @all @room", "@\u200bhere @\u200bchannel @\u200ball @\u200broom"),
        (
            "<@U1> <!here> <#C1> <users/all> @**all**",
            "<\u200b@U1> <\u200b!here> <\u200b#C1> <\u200busers/all> @\u200b**all**",
        ),
        ("ann@people.example <b> a@b <- c", "ann@people.example <b> a@b <- c"),
    ],
)
def test_what_calls_people_is_broken(room, text, calmed):
    """Each chat's way to call all of a room is only read; addresses and other signs stay as they are."""
    assert room.calm(text) == calmed


def test_plain_text_becomes_markdown_that_shows_the_same(room):
    """Signs are escaped, and a link is one, with its own signs untouched."""
    assert room.build_markdown("a_b *c* see https://a.example/b_c(d), ok") == (
        r"a\_b \*c\* see [https://a\.example/b\_c\(d](https://a.example/b_c%28d)\), ok"
    )


def test_services_of_this_machine_are_all_refused(room):
    """Of the services that this apprise knows, none that needs this machine alone can be told."""
    local = (
        "subprocess",
        "import dbus",
        "gi.repository",
        "win32api",
        "import syslog",
        "import hid",
        "SOCK_DGRAM",
    )
    for plugin in room._SERVICES.plugins():
        source = Path(sys.modules[plugin.__module__].__file__).read_text("utf-8")
        if any(sign in source for sign in local):
            schemas = {name for name in room._SERVICES.schemas() if room._SERVICES[name] is plugin}
            assert schemas <= room._LOCAL, schemas
