"""The story of an alert over a running server: a step of the sign-up fails on one platform, people are told once, it is over.

Receivers are real: a web server and a mail server on this machine, which the server may tell because it was allowed to.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from contextlib import closing

import pytest

from tests.conftest import CRASH_SETTINGS
from tests.receivers import MailReceiver, WebReceiver

pytestmark = pytest.mark.store
METRIC = {
    "kind": "ratio", "title": "Code verified", "owner": "growth", "minimum_sample": 4,
    "numerator": {"event_name": "VERIFY_SMS_CODE", "filters": [
        {"field": "phase", "op": "eq", "value": "POST_VERIFICATION"}, {"field": "status", "op": "eq", "value": "SUCCESS"}]},
    "denominator": {"event_name": "VERIFY_SMS_CODE", "filters": [{"field": "phase", "op": "eq", "value": "IMPRESSION"}]},
}  # fmt: skip
ALERT = {
    "title": "VERIFY_SMS_CODE fails", "metric": "verified", "when": {"is": "below", "value": 0.6}, "window": "10s", "every": "5s",
    "breakdown": ["agent_os"], "severity": "page", "delay": "10s", "no_data": {"for": "30s"},
}  # fmt: skip


class SignUps:
    """People who sign up all the time on two platforms; on iOS the code fails while `failing`."""

    def __init__(self, server):
        self.server = server
        self.failing = self.silent = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_sending, daemon=True)
        self._number = 0
        self._thread.start()

    def close(self):
        self._ended.set()
        self._thread.join(60)

    def _keep_sending(self):
        while not self._ended.wait(0.5):
            if self.silent:
                continue
            events = [
                one for platform in ("iOS", "Android") for _ in range(2) for one in self._sign_up(platform)
            ]
            try:
                assert self.server.send(events).status in (200, 503)
            except OSError:
                continue

    def _sign_up(self, platform):
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        status = "FAILURE" if self.failing and platform == "iOS" else "SUCCESS"
        for phase in ("IMPRESSION", "POST_VERIFICATION"):
            self._number += 1
            yield {
                "event_id": f"sign-up-{self._number}", "event_time": now, "event_type": "behavior", "agent_os": platform,
                "event_name": "VERIFY_SMS_CODE", "session_id": f"s{self._number // 2}",
                "attributes": {"phase": phase, "status": status},
            }  # fmt: skip


@pytest.fixture
def hook():
    with closing(WebReceiver()) as receiver:
        yield receiver


@pytest.fixture
def mailbox():
    with closing(MailReceiver()) as receiver:
        yield receiver


def _define(server, hook, mailbox, **more):
    """Define metric, alert and receivers, and begin to sign up; returns when the alert is known to be ok."""
    put = [("metrics/verified", METRIC), ("alerts/sms_fails", {**ALERT, **more})]
    for path, body in put:
        answer = server.request("PUT", f"/v1/{path}", json.dumps(body), key=server.admin_key)
        assert answer.status == 200, answer.body
    for name, url in (("hook", hook.url()), ("mail", mailbox.url())):
        body = json.dumps({"name": name, "url": url, "owners": ["growth"]})
        answer = server.request("POST", "/v1/receivers", body, key=server.admin_key)
        assert answer.status == 201, answer.body
        # What is secret of an address is never shown.
        assert json.loads(answer.body)["hint"]
    people = SignUps(server)
    server.wait_until(
        lambda: _states(server) == {"iOS": "ok", "Android": "ok"}, "both platforms are well", pause=0.5
    )
    return people


def _states(server):
    answer = server.get("/v1/alerting")
    if answer.status != 200:
        return {}
    found = next((one for one in answer.json["alerts"] if one["alert"] == "sms_fails"), None)
    return {one["name"]: one["state"] for one in found["values"]} if found else {}


def _changes(server):
    """Return (value, state before, state after) of all changes but what was said before there was any value, oldest first."""
    changes = server.get("/v1/alerting/history").json["changes"]
    return [
        (one["values"]["agent_os"], one["before"], one["after"]) for one in changes[::-1] if one["values"]
    ]


def _settings(**more):
    return {"alert_seconds": 1, "alert_inward": "127.0.0.1", **more}


def test_a_failing_step_is_told_once_and_its_end(make_server, hook, mailbox):
    """IOS fails: mail and webhook say so once, with the step, the platform, the figures and a picture; then that it is over."""
    server = make_server(
        loader_linger_seconds=0.05, public_url="https://tally.example", **_settings()
    ).start()
    people = _define(server, hook, mailbox)
    try:
        people.failing = True
        server.wait_until(lambda: hook.told and mailbox.mails, "both are told", pause=0.5)
        assert _states(server) == {"iOS": "firing", "Android": "ok"}
        people.failing = False
        server.wait_until(
            lambda: len(hook.told) > 1 and len(mailbox.mails) > 1, "both are told of the end", pause=0.5
        )
        people.silent = True
        server.wait_until(lambda: set(_states(server).values()) == {"no data"}, "silence is told", pause=0.5)
        server.wait_until(lambda: len(hook.told) > 2, "the webhook is told of the silence", pause=0.5)
    finally:
        people.close()
    trouble, over, silence = hook.told[:3]
    assert trouble["title"].startswith("PAGE: VERIFY_SMS_CODE fails (iOS): ")
    assert trouble["facts"]["changes"][0]["values"] == {"agent_os": "iOS"}
    assert trouble["attachments"][0]["mimetype"] == "image/png"
    assert (over["title"], over["key"]) == ("Over: VERIFY_SMS_CODE fails (iOS)", trouble["key"])
    # No traffic at all: the no-data rule speaks, not the threshold.
    assert silence["title"].endswith("no data: the whole project is silent")
    assert {one["state"] for one in silence["facts"]["changes"]} == {"no data"}
    assert _changes(server)[:2] == [("iOS", "ok", "firing"), ("iOS", "firing", "ok")]
    first, second = mailbox.mails[:2]
    assert first["Subject"] == trouble["title"]
    assert first["Message-ID"] != second["Message-ID"]
    assert {part.get_content_type() for part in first.walk()} >= {"text/plain", "text/html", "image/png"}
    plain = first.get_body(("plain",)).get_content()
    assert "Since: " in plain
    assert "https://tally.example/alert/answer/" in plain
    # Every change is an event that can be asked.
    asked = "SELECT attributes.after, attributes.of FROM events WHERE event_name = 'tallymark_alert' ORDER BY event_time"
    server.wait_until(lambda: ["firing", "iOS"] in server.sql(asked), "changes are events", pause=0.5)


def test_the_same_with_death_between_every_two_steps(make_server, hook, mailbox, tmp_path):
    """Killed before and after each step of the story: never missed, at most one repeat of a message, which has the same id."""
    point = tmp_path / "crash-point"
    server = make_server(
        environment={"TALLYMARK_CRASH_FILE": str(point)}, **CRASH_SETTINGS, **_settings()
    ).start()
    people = _define(server, hook, mailbox)

    def die_at(name):
        draft = point.with_suffix(".draft")
        draft.write_text(f"{name}:1")
        draft.rename(point)

    def wait_dead():
        server.wait_until(lambda: not point.exists(), "a process dies", pause=0.2)

    try:
        for place in ("alerts.after_judging_before_write", "alerts.after_write"):
            die_at(place)
            wait_dead()
        die_at("alerts.after_claim_before_send")
        people.failing = True
        wait_dead()
        server.wait_until(lambda: hook.told and mailbox.mails, "both are told", pause=0.5)
        die_at("alerts.after_send_before_note")
        people.failing = False
        wait_dead()
        server.kill_all()
        server.start()
        server.wait_until(
            lambda: _titles(hook)["Over"] and _subjects(mailbox)["Over"], "both hear the end", pause=0.5
        )
        server.wait_until(lambda: _states(server) == {"iOS": "ok", "Android": "ok"}, "all is well", pause=0.5)
    finally:
        people.close()
    for ids in (Counter(one["id"] for one in hook.told), Counter(one["Message-ID"] for one in mailbox.mails)):
        assert max(ids.values()) <= 2
        assert sum(count - 1 for count in ids.values()) <= 2
    changes = [one for one in _changes(server) if one[0] == "iOS"]
    # Each trouble has one beginning and one end, whoever died in between.
    assert changes == [("iOS", "ok", "firing"), ("iOS", "firing", "ok")] * (len(changes) // 2)
    assert changes


def _titles(hook):
    return Counter(one["title"].partition(":")[0] for one in hook.told)


def _subjects(mailbox):
    return Counter(one["Subject"].partition(":")[0] for one in mailbox.mails)
