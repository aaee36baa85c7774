"""A real Prometheus scrapes chosen metrics."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.conftest import lack

pytestmark = pytest.mark.store
DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


@pytest.fixture
def prometheus(server, tmp_path):
    """Start Prometheus with the configuration of the docs; return a way to ask it."""
    program = shutil.which("prometheus")
    if program is None:
        lack("prometheus is not installed: apt-get install prometheus")
    text = DOCS.read_text().split("```yaml\nscrape_configs:")[1].split("```")[0]
    text = "global: {scrape_interval: 1s}\nscrape_configs:" + text.replace("READ_KEY", server.read_key)
    (tmp_path / "prometheus.yml").write_text(text.replace("127.0.0.1:8600", f"127.0.0.1:{server.port}"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address=127.0.0.1:{port}"]  # fmt: skip
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)

    def ask(expression: str) -> list[dict[str, str]]:
        address = f"http://127.0.0.1:{port}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return json.load(answer)["data"]["result"]
        except (urllib.error.URLError, OSError):
            return []

    yield ask
    process.kill()
    process.wait()


def _put(server, name, **body):
    answer = server.request("PUT", f"/v1/metrics/{name}", json.dumps(body), key=server.admin_key)
    assert answer.status == 200, answer.body


def test_prometheus_scrapes_figures(server, build_event, prometheus):
    """What stands in Prometheus is the metric's figure of the last hour, with its n and interval."""
    now = datetime.now(UTC).isoformat()
    events = [
        build_event(f"scraped-{n}", event_name="scraped", event_time=now, value=float(n % 2))
        for n in range(40)
    ]
    assert server.send(events).status == 200
    side = {"event_name": "scraped"}
    _put(server, "scraped_events", kind="count", unit="events", scrape="1h", **side)
    one = {**side, "filters": [{"field": "value", "op": "eq", "value": 1}]}
    _put(server, "scraped_share", kind="ratio", scrape="1h", numerator=one, denominator=side)
    _put(server, "not_scraped", kind="count", **side)
    server.wait_loaded()

    def figures():
        found = {item["metric"]["metric"]: float(item["value"][1]) for item in prometheus("tallymark_figure")}
        return found.get("scraped_events") == 40 and found

    found = server.wait_until(figures, "Prometheus has the figures")

    assert found == {"scraped_events": 40.0, "scraped_share": 0.5}
    (low,) = prometheus('tallymark_figure_low{metric="scraped_share"}')
    assert 0.3 < float(low["value"][1]) < 0.5
    assert {float(item["value"][1]) for item in prometheus("tallymark_figure_failed")} == {0.0}
    for name in ("scraped_events", "scraped_share", "not_scraped"):
        assert server.request("DELETE", f"/v1/metrics/{name}", key=server.admin_key).status == 200


def test_without_a_key_no_projects_figures(server):
    """Without a key there are the server's own numbers; with a wrong one there is a refusal."""
    own = server.request("GET", "/metrics").body.decode()
    assert "tallymark_events_received_total" in own
    assert "tallymark_figure" not in own
    assert server.request("GET", "/metrics", key="no-such-key").status == 401


OPEN_METRICS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1"


@pytest.mark.parametrize("with_key", [False, True])
def test_open_metrics(server, with_key):
    """Who asks for OpenMetrics gets valid OpenMetrics, with one end, also with a project's figures in it."""
    _put(server, "told_openly", kind="count", event_name="scraped", scrape="1h")
    try:
        headers = {"Accept": OPEN_METRICS}
        answer = server.request("GET", "/metrics", key=server.read_key if with_key else None, headers=headers)
    finally:
        assert server.request("DELETE", "/v1/metrics/told_openly", key=server.admin_key).status == 200
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    text = answer.body.decode()
    assert text.endswith("# EOF\n")
    assert text.count("# EOF") == 1
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["tallymark_events_received"].type == "counter"
    assert ("tallymark_figure" in families) == with_key


@pytest.mark.parametrize("accept", ["", "text/plain", "*/*", "application/openmetrics-text;version=x", "application/openmetrics-text;version=0.0.1"])  # fmt: skip
def test_text_format(server, accept):
    """Everybody else gets Prometheus' text format."""
    answer = server.request("GET", "/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith("text/plain")
    assert b"# EOF" not in answer.body
