"""Metrics as code over a running server: applied from files, asked exactly, changed by one at a time."""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections import Counter
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tallymark.plan.yaml_text import parse_yaml
from tallymark.queries.kinds.ratio import wilson_interval

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "demo"))

from sign_up import PERIOD, PLATFORMS, STEPS, build_sign_ups, expected  # noqa: E402

pytestmark = pytest.mark.store
_FORBIDDEN = 403


@pytest.fixture(scope="module")
def signed_up(server):
    """Store the sign-ups of 2,000 sessions, and apply the demo's definitions by the command."""
    events = list(build_sign_ups(2000, seed=7))
    for start in range(0, len(events), 1000):
        assert server.send(events[start : start + 1000]).status == 200
    server.wait_loaded()
    done = server.run("apply", str(ROOT / "demo" / "definitions"), TALLYMARK_ADMIN_KEY=server.admin_key)
    assert done.returncode == 0, done.stdout + done.stderr
    return events


def _figures(server, name, **more):
    fields = {**PERIOD, **more}
    answer = server.get(f"/v1/metrics/{name}/figures?{urlencode(fields)}")
    assert answer.status == 200, answer.body
    found = answer.json["figures"]
    names = [column["name"] for column in found["columns"]]
    return [dict(zip(names, row, strict=True)) for row in found["rows"]], found


def _applied(plural):
    """Return what the demo's files define."""
    files = sorted((ROOT / "demo" / "definitions").glob("*.yaml"))
    return [
        one for file in files for one in parse_yaml(file.read_text(encoding="utf-8")).value.get(plural, [])
    ]


def test_rates_by_platform_are_exact(server, signed_up):
    """Both rates of a step, by tries and by sessions, are what counting the events gives; with Wilson's interval."""
    wanted = expected(signed_up)
    by_tries = {
        row["agent_os"]: row for row in _figures(server, "sms_code_verified", breakdown="agent_os")[0]
    }
    by_sessions = {
        row["agent_os"]: row for row in _figures(server, "sms_code_sessions", breakdown="agent_os")[0]
    }
    assert set(by_tries) == set(by_sessions) == set(PLATFORMS)
    retried = 0
    for platform in PLATFORMS:
        key = ("VERIFY_SMS_CODE", platform)
        for rows, above, below in (
            (by_tries, wanted["passed"][key], wanted["shown"][key]),
            (by_sessions, wanted["passed_sessions"][key], wanted["shown_sessions"][key]),
        ):
            row = rows[platform]
            assert (row["figure"], row["n"]) == (above / below, below)
            assert (row["low"], row["high"]) == wilson_interval(above, below)
        retried += wanted["shown"][key] - wanted["shown_sessions"][key]
    assert retried > 0, "nobody tried twice: the two rates would be the same"


def test_retries_never_push_a_rate_over_one(server, signed_up, build_event):
    """A session with one impression and three successes is one session that passed: 100 %, not 300 %."""
    step = {"step": "VERIFY_SMS_CODE"}
    events = [
        build_event(f"retry-{n}", event_name="sign_up_step", event_time="2025-03-01T10:00:00Z", session_id="one",
                    attributes={**step, "phase": "IMPRESSION"} if n == 0 else {**step, "phase": "POST_VERIFICATION", "status": "SUCCESS"})
        for n in range(4)
    ]  # fmt: skip
    assert server.send(events).status == 200
    server.wait_loaded()
    period = {"from": "2025-03-01", "to": "2025-03-02"}
    assert _figures(server, "sms_code_sessions", **period)[0][0]["figure"] == 1.0
    tries, told = _figures(server, "sms_code_verified", **period)
    assert tries[0]["figure"] == 3.0
    assert tries[0]["low"] is None
    assert any("it is no share" in note for note in told["notes"])


def test_ordered_funnel_of_four_steps_and_two_phases(server, signed_up):
    """The conversion of eight ordered stations per session is what walking each session's events gives."""
    stations = [(step, phase) for step in STEPS for phase in ("IMPRESSION", "SUCCESS")]
    reached: Counter[int] = Counter()
    place: dict[str, int] = {}
    for event in signed_up:  # a session's events are in the order of time
        session, attributes = event["session_id"], event["attributes"]
        at = place.get(session, 0)
        told = (attributes["step"], attributes.get("status", attributes["phase"]))
        if at < len(stations) and told == stations[at]:
            place[session] = at + 1
            reached[at] += 1
    (row,), _ = _figures(server, "sign_up_completed")
    assert (row["n"], row["figure"]) == (reached[0], reached[7] / reached[0])
    assert 0 < row["low"] < row["figure"] < row["high"] < 1


def test_intermediate_metrics_carry_their_caveat(server, signed_up):
    """Wherever an intermediate metric is asked, its caveat comes with it."""
    assert "Retries count as new tries" in _figures(server, "sms_code_verified")[1]["notes"][0]
    assert _figures(server, "sms_code_sessions")[1]["notes"] == []


def test_too_few_to_rely_on(server, signed_up):
    """A figure below the minimum sample is given and marked, with the reason."""
    filters = json.dumps(
        [{"field": "session_id", "op": "in", "value": [f"sign-up-7-{n}" for n in range(20)]}]
    )
    rows, told = _figures(server, "sms_code_sessions", filters=filters)
    assert rows[0]["n"] < 50
    assert rows[0]["enough"] is False
    assert "1 of 1 figures stand on too few events to rely on: fewer than 50" in told["notes"][-1]


@pytest.fixture(scope="module")
def delays(server):
    """Delays whose statistics are known: 400 values of one day, under the names of the flights."""
    values = [round(-20 + 0.001 * n * n + (n * 37 % 11), 3) for n in range(400)]
    events = [
        {"event_id": f"delay-{name}-{n}", "event_time": f"2024-05-05T{n % 24:02}:00:00Z", "event_type": "t",
         "event_name": name, "value": value - (5 if name == "flight_arrived" else 0), "attributes": {"n": n}}
        for name in ("flight_departed", "flight_arrived") for n, value in enumerate(values)
    ]  # fmt: skip
    assert server.send(events).status == 200
    server.wait_loaded()
    return values


_DAY = {"from": "2024-05-05", "to": "2024-05-06"}


def test_mean_and_its_interval(server, signed_up, delays):
    """A mean has n and the interval of its standard error."""
    (row,), _ = _figures(server, "departure_delay_mean", **_DAY)
    reach = 1.959963984540054 * statistics.stdev(delays) / math.sqrt(len(delays))
    mean = statistics.fmean(delays)
    assert row["n"] == len(delays)
    assert (row["figure"], row["low"], row["high"]) == pytest.approx(
        (mean, mean - reach, mean + reach), rel=1e-12
    )


def test_quantile_between_order_statistics(server, signed_up, delays):
    """A quantile's interval is given by the values at two ranks, and covers the quantile."""
    (row,), _ = _figures(server, "departure_delay_p90", **_DAY)
    ordered, n, q = sorted(delays), len(delays), 0.9
    reach = 1.959963984540054 * math.sqrt(n * q * (1 - q))
    assert row["low"] == ordered[math.floor(n * q - reach) - 1]
    assert row["high"] == ordered[math.ceil(n * q + reach) + 1 - 1]
    assert row["low"] < row["figure"] < row["high"]


def test_a_quantile_of_few_values_has_no_interval(server, signed_up, delays):
    """Where the rank would lie outside the values there is no interval, and the figure is marked as too few."""
    filters = json.dumps([{"field": "n", "op": "lt", "value": 5}])
    (row,), _ = _figures(server, "departure_delay_p90", filters=filters, **_DAY)
    assert (row["n"], row["low"], row["high"], row["enough"]) == (5, None, None, False)


def test_formula(server, signed_up, delays):
    """A formula joins its parts by time and group."""
    rows, _ = _figures(server, "delay_made_good", interval="hour", **_DAY)
    assert len(rows) == 24
    assert all(row["figure"] == pytest.approx(5.0) for row in rows)


def test_comparison(server, signed_up):
    """The same figures for the week before, cut the same way."""
    fields = {"from": "2026-06-08", "to": "2026-06-15", "interval": "day", "compare": "week"}
    answer = server.get(f"/v1/metrics/sign_up_sessions/figures?{urlencode(fields)}").json
    before, _ = _figures(
        server, "sign_up_sessions", **{"from": "2026-06-01", "to": "2026-06-08", "interval": "day"}
    )
    assert [row[1] for row in answer["compared"]["rows"]] == [row["figure"] for row in before]
    assert answer["figures"]["rows"][0][0] == "2026-06-08T00:00:00Z"


def test_files_own_their_objects(server, signed_up):
    """What stands in a file cannot be changed over the API; the answer names the file."""
    body = json.dumps({"kind": "count", "event_name": "x"})
    for method in ("PUT", "DELETE"):
        answer = server.request(method, "/v1/metrics/flights_scheduled?version=1", body, key=server.admin_key)
        assert (answer.status, answer.json["code"]) == (409, "owned_by_file")
        assert "flights.yaml" in answer.json["message"]


def test_two_who_change_the_same(server, signed_up):
    """Who changes a version that is not the present one is told so, and nothing is overwritten."""

    def put(title, version=""):
        body = json.dumps({"kind": "count", "event_name": "x", "title": title})
        return server.request("PUT", f"/v1/metrics/by_hand{version}", body, key=server.admin_key)

    assert put("first").json["version"] == 1
    assert put("second", "?version=1").json["version"] == 2
    for stale in (put("lost", "?version=1"), put("lost")):
        assert (stale.status, stale.json["code"]) == (409, "conflict")
    assert server.get("/v1/metrics/by_hand").json["object"]["title"] == "second"
    gone = server.request("DELETE", "/v1/metrics/by_hand?version=1", key=server.admin_key)
    assert gone.status == 409
    assert server.request("DELETE", "/v1/metrics/by_hand?version=2", key=server.admin_key).status == 200
    assert server.get("/v1/metrics/by_hand").status == 404


def test_what_is_used_stays(server, signed_up):
    """A metric that a formula needs is not removed."""
    for name, body in (
        ("part", {"kind": "count", "event_name": "x"}),
        ("whole", {"kind": "formula", "expression": "part * 2"}),
    ):
        assert (
            server.request("PUT", f"/v1/metrics/{name}", json.dumps(body), key=server.admin_key).status == 200
        )
    refused = server.request("DELETE", "/v1/metrics/part", key=server.admin_key)
    assert (refused.status, refused.json["code"]) == (409, "in_use")
    assert "metric whole" in refused.json["message"]
    for name in ("whole", "part"):
        assert server.request("DELETE", f"/v1/metrics/{name}", key=server.admin_key).status == 200


def test_export_is_what_was_applied(server, signed_up, tmp_path):
    """What export writes, applied again, changes nothing; existing files are not replaced."""
    assert server.run("export", str(tmp_path / "out")).returncode == 0
    again = server.run("plan", str(tmp_path / "out"))
    applied = sum(len(_applied(plural)) for plural in ("metrics", "dashboards", "alerts"))
    assert f"0 to change, {applied} as they are" in again.stdout
    assert server.run("export", str(tmp_path / "out")).returncode != 0


def test_plan_changes_nothing(server, signed_up, tmp_path):
    """A plan tells what would change and leaves all as it is; a mistake is told with file, line and column."""
    (tmp_path / "a.yaml").write_text("metrics:\n  - {name: new_one, kind: count, event_name: x}\n")
    told = server.run("plan", str(tmp_path), "--origin", "elsewhere")
    assert "create metric new_one" in told.stdout
    assert server.get("/v1/metrics/new_one").status == 404
    (tmp_path / "b.yaml").write_text("metrics:\n  - name: other\n    kind: count\n    event_nam: x\n")
    refused = server.run(
        "apply", str(tmp_path), "--origin", "elsewhere", TALLYMARK_ADMIN_KEY=server.admin_key
    )
    assert refused.returncode == 1
    assert "b.yaml:4:5" in refused.stdout
    assert "event_nam" in refused.stdout
    assert "1 to change, 0 as they are; 1 mistake." in refused.stdout
    assert refused.stdout.rstrip().endswith("Nothing was applied.")
    assert server.get("/v1/metrics/new_one").status == 404


def test_what_has_mistakes_is_not_counted(server, signed_up, tmp_path):
    """An object that is wrong is told with its mistake alone: neither as created nor, where it is there, as removed."""
    origin = ("--origin", "mistaken")
    file = tmp_path / "a.yaml"
    good = "metrics:\n  - {name: there, kind: count, event_name: x}\n  - {name: also, kind: count, event_name: x}\n"
    file.write_text(good)
    applied = server.run("apply", str(tmp_path), *origin, TALLYMARK_ADMIN_KEY=server.admin_key)
    assert "2 to change" in applied.stdout
    wrong = good.replace("there, kind: count", "there, kind: cont")
    wrong += "  - {name: half, kind: formula, expression: nowhere / 2}\n  - {name: new, kind: count, event_name: x}\n"
    # Of another origin: the place alone says which one.
    wrong += "  - {name: sms_code_verified, kind: count, event_name: x}\n"
    file.write_text(wrong)
    for command, key in (("plan", server.read_key), ("apply", server.admin_key)):
        told = server.run(command, str(tmp_path), *origin, "--key", key)
        assert told.returncode == 1
        lines = [line for line in told.stdout.splitlines() if line[:1] in ("+", "-", "~")]
        assert lines == ["+ create metric new a.yaml"]
        assert "1 to change, 1 as they are; 3 mistakes." in told.stdout
        assert ("Nothing was applied." in told.stdout) == (command == "apply")
    file.write_text("metrics: [\n")
    told = server.run("plan", str(tmp_path), *origin)
    assert "0 to change, 0 as they are; 1 mistake." in told.stdout
    file.write_text("")
    assert server.run("apply", str(tmp_path), *origin, TALLYMARK_ADMIN_KEY=server.admin_key).returncode == 0


@pytest.mark.parametrize("key", ["", "read", "unknown"])
def test_apply_says_how_to_get_a_key(server, signed_up, tmp_path, key):
    """Without an admin key the error names the command that makes one."""
    (tmp_path / "a.yaml").write_text("metrics: []\n")
    given = {"": "", "read": server.read_key, "unknown": "no-such-key"}[key]
    refused = server.run("apply", str(tmp_path), "--origin", "keyless", TALLYMARK_ADMIN_KEY=given)
    assert refused.returncode == 1
    assert "tallymark keys create admin --data DIR" in refused.stderr


def test_reading_keys_do_not_apply(server, signed_up):
    """A read key may plan; it may not apply."""
    order = {"files": [], "origin": "files", "apply": True}
    answer = server.request("POST", "/v1/plan", json.dumps(order), key=server.read_key)
    assert answer.status == _FORBIDDEN
    assert len(server.get("/v1/metrics").json["metrics"]) == len(_applied("metrics"))
