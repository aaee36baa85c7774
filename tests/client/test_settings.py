"""Settings from arguments and environment: what wins, and that nothing malformed raises."""

from __future__ import annotations

from dataclasses import fields

import pytest

from tallymark import Client
from tallymark.client.settings import Settings, build_settings, variables

SAMPLES = {"str": ("text", "text"), "bool": ("yes", True), "int": ("4096", 4096), "float": ("2.5", 2.5)}


@pytest.mark.parametrize("field", fields(Settings), ids=lambda field: field.name)
def test_every_setting_has_a_variable(field, warnings_said):
    """Everything can be set by environment, and arguments win over it."""
    text, value = {
        "url": ("https://a.example/x/", "https://a.example/x"),
        "sink": ("file:/a", "file:/a"),
    }.get(field.name, SAMPLES[str(field.type)])
    for variable in variables(field.name):
        assert getattr(build_settings({}, {variable: text}), field.name) == value
    default = getattr(Settings(), field.name)
    assert (
        getattr(build_settings({field.name: default}, {variables(field.name)[0]: text}), field.name)
        == default
    )
    assert warnings_said == []


@pytest.mark.parametrize(
    ("variable", "text", "allowed"),
    [
        ("TALLYMARK_URL", "intake.example", "an address like"),
        ("TALLYMARK_URL", "ftp://intake.example", "an address like"),
        ("TALLYMARK_URL", "http://a:99999", "an address like"),
        ("TALLYMARK_WRITE_KEY", "two words", "a write key"),
        ("TALLYMARK_BATCH_EVENTS", "many", "a whole number, at least 1"),
        ("TALLYMARK_BATCH_EVENTS", "0", "at least 1"),
        ("TALLYMARK_FLUSH_INTERVAL", "nan", "a number of seconds"),
        ("TALLYMARK_FLUSH_INTERVAL", "-1", "at least 0.001"),
        ("TALLYMARK_DISABLED", "perhaps", "one of 1, true"),
        ("TALLYMARK_SINK", "kafka", "intake, logger, noop or file:PATH"),
    ],
)
def test_a_malformed_variable_is_ignored_with_one_warning(variable, text, allowed, warnings_said):
    """A malformed variable leaves the default, and one warning names it and says what is allowed."""
    for _ in range(3):
        assert build_settings({}, {variable: text}) == Settings()
    (said,) = warnings_said
    assert variable in said
    assert allowed in said
    assert "Fix:" in said
    assert ("two words" not in said) or variable != "TALLYMARK_WRITE_KEY", "a key is never logged"


class Rude:
    def __str__(self):
        raise RuntimeError("no")

    __repr__ = __float__ = __int__ = __str__


@pytest.mark.parametrize(
    "settings",
    [
        {"max_buffer_bytes": "much"},
        {"batch_events": Rude()},
        {"colour": "red"},
        {"url": 7},
        {"dev": []},
        {"key": b"k"},
    ],
    ids=range(6),
)
def test_a_malformed_argument_does_not_raise(settings, warnings_said):
    """Client(...) takes any nonsense, says once what is wrong, and works."""
    client = Client(**({"key": "k"} | settings))
    assert client.close(0.1)
    assert any("Fix:" in said for said in warnings_said)


def test_an_unknown_argument_is_told_which_there_are(warnings_said):
    """The warning about a setting that there is not names those that there are: the docs are not installed."""
    Client(key="k", colour="red").close(0.1)
    (said,) = warnings_said
    assert "no setting 'colour'" in said
    assert "flush_interval" in said
    assert "docs/" not in said


def test_service_comes_from_the_environment(monkeypatch):
    """TALLYMARK_SERVICE_* and TALLYMARK_DEV become context of every event."""
    from tallymark.testing import CaptureSink  # noqa: PLC0415  only here

    for name, value in (
        ("SERVICE_NAME", "shop"),
        ("SERVICE_VERSION", "1"),
        ("SERVICE_COMMIT", "abc"),
        ("DEV", "1"),
    ):
        monkeypatch.setenv(f"TALLYMARK_{name}", value)
    sink = CaptureSink()
    Client(sink=sink).behavior("x")
    event = sink[0]
    assert (event["service_name"], event["service_version"], event["service_commit"], event["is_dev"]) == (
        "shop",
        "1",
        "abc",
        True,
    )
