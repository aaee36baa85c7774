"""One question, three forms: JSON, NDJSON and CSV by `Accept`, over HTTP and by command."""

from __future__ import annotations

import csv
import io
import json

import pytest

from tallymark.queries.parse import KIND_NAMES

pytestmark = pytest.mark.store

# Names that a spreadsheet would run, that CSV must quote, and that are no ASCII.
PLACES = {"=1+1": 1, '"a", b\nc': 2, "Zürich": 3}
QUESTION = {
    "kind": "trend",
    "from": "2026-01-31",
    "to": "2026-02-01",
    "series": [
        {"name": "visits", "event_name": "visited"},
        {"name": "weight", "event_name": "visited", "measure": {"op": "average", "field": "value"}},
    ],
    "breakdown": ["attributes.place"],
}
NAMES = ["attributes.place", "visits", "weight"]


@pytest.fixture(scope="module")
def asked(server, build_event):
    """Give a server with visits of some places, and a function that asks for them in a form."""
    server.send(
        [
            build_event(f"{place}-{number}", event_name="visited", attributes={"place": place})
            for place, visits in PLACES.items()
            for number in range(visits)
        ]
        + [build_event("weighed", event_name="visited", value=0.5, attributes={"place": "Zürich"})]
    )
    server.wait_loaded()

    def ask(accept, question=QUESTION):
        headers = {"Accept": accept} if accept else {}
        body = json.dumps(question)
        answer = server.request("POST", "/v1/query", body, key=server.read_key, headers=headers)
        assert answer.status == 200, answer.body
        return answer

    return ask


def expect_rows():
    return [["Zürich", 4, 0.5], ['"a", b\nc', 2, None], ["=1+1", 1, None]]


@pytest.mark.parametrize("accept", ["", "*/*", "application/json", "text/html, application/json;q=0.9"])
def test_json(asked, accept):
    """JSON is what is answered to whoever asks for it or for nothing of ours, with columns, rows and notes."""
    answer = asked(accept)
    assert answer.headers["content-type"].startswith("application/json")
    assert [column["name"] for column in answer.json["columns"]] == NAMES
    assert answer.json["rows"] == expect_rows()
    assert isinstance(answer.json["notes"], list)


@pytest.mark.parametrize("accept", ["application/x-ndjson", "text/html, Application/X-NDJSON, */*;q=0.1"])
def test_ndjson(asked, accept):
    """NDJSON is one object a row, each on a line that ends, with the columns' names."""
    answer = asked(accept)
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert answer.body.endswith(b"\n")
    lines = answer.body.decode().removesuffix("\n").split("\n")
    assert [json.loads(line) for line in lines] == [
        dict(zip(NAMES, row, strict=True)) for row in expect_rows()
    ]


def test_csv(asked):
    """CSV has the names on its first line, empty cells for null, and an apostrophe before what would be run."""
    answer = asked("text/csv")
    assert answer.headers["content-type"].startswith("text/csv")
    table = list(csv.reader(io.StringIO(answer.body.decode(), newline="")))
    assert table == [NAMES, ["Zürich", "4", "0.5"], ['"a", b\nc', "2", ""], ["'=1+1", "1", ""]]


@pytest.mark.parametrize("accept", ["application/x-ndjson", "text/csv"])
def test_notes_without_a_place(asked, accept):
    """Where the form has no place for notes they stand in a header, as JSON in ASCII; without notes there is none."""
    never = {**QUESTION, "series": [{"name": "n", "event_name": "visité"}], "breakdown": []}
    told = asked("application/json", never).json
    header = asked(accept, never).headers["tallymark-notes"]
    assert told["notes"]
    assert header.isascii()
    assert json.loads(header) == told["notes"]
    assert ("tallymark-notes" in asked(accept).headers) == bool(asked("").json["notes"])


@pytest.mark.parametrize("accept", ["application/x-ndjson", "text/csv"])
def test_errors_are_json(server, accept):
    """A question that cannot be asked is explained in JSON, whatever form was wanted."""
    answer = server.request(
        "POST", "/v1/query", '{"kind":"odd"}', key=server.read_key, headers={"Accept": accept}
    )
    assert (answer.status, answer.json["code"], answer.json["at"]) == (400, "invalid_question", "kind")


def test_forms_by_command(server, asked):
    """`tallymark query --format` gives the same bytes as the API."""
    for form, accept in (("ndjson", "application/x-ndjson"), ("csv", "text/csv")):
        done = server.run("query", json.dumps(QUESTION), "--format", form)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == asked(accept).body.decode().split()
    refused = server.run("query", json.dumps(QUESTION), "--format", "xml")
    assert refused.returncode == 2
    assert "ndjson" in refused.stderr


def test_the_command_names_all_kinds(server):
    """Its help has every kind of question that there is."""
    done = server.run("query", "--help", COLUMNS="200")
    assert done.returncode == 0, done.stderr
    (said,) = [line for line in done.stdout.splitlines() if "Ask a question" in line]
    assert said.split("of the kinds ")[1].strip().rstrip(".").split(", ") == list(KIND_NAMES)
