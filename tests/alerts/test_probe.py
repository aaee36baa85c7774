"""An address is looked up and judged before it is kept, and nothing is sent while that is done."""

from __future__ import annotations

import socket

import pytest

from tallymark.alerts.outlets import Outlets

SECRET = "geheim-4711"


@pytest.fixture(scope="module")
def outlets():
    made = Outlets()
    yield made
    made.close()


@pytest.mark.parametrize(
    "url",
    [
        f"json://ann:{SECRET}@127.0.0.1:9/x",
        f"jsons://ann:{SECRET}@10.1.2.3/x",
        f"json://ann:{SECRET}@[::1]/x",
        f"json://ann:{SECRET}@localhost/x",
        f"mailto://ann:{SECRET}@example.com?smtp=127.0.0.1&to=bo@example.com",
    ],
)
def test_an_address_on_the_inside_is_refused(outlets, url):
    """A webhook or mail server on the inside, in figures or by name, can never be told: the reason names the setting."""
    found = outlets.probe(url)
    assert "alert_inward" in found.text
    assert SECRET not in found.text + found.warning


@pytest.mark.parametrize("url", ["json://8.8.8.8/hook", "jsons://8.8.8.8:8443", "xml://1.1.1.1/x"])
def test_an_address_that_may_be_told_is_not_told(outlets, url):
    """Public addresses are fine."""
    found = outlets.probe(url)
    assert (found.text, found.warning) == ("", "")


@pytest.mark.parametrize(
    "url", [f"json://ann:{SECRET}@hooks.invalid/x", f"mailto://ann:{SECRET}@nowhere.invalid"]
)
def test_a_name_that_is_not_found_now_is_a_warning(outlets, url):
    """A host may come back, so its address is kept; what stands in the way is said, without secrets."""
    found = outlets.probe(url)
    assert found.text == ""
    assert ".invalid is not found now" in found.warning
    assert SECRET not in found.warning


def test_nothing_is_sent_while_it_is_looked():
    """A receiver on the inside that a setting allows is found to be reachable, and nobody connects to it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        listener.settimeout(0.0)
        outlets = Outlets(["127.0.0.1"])
        try:
            found = outlets.probe(f"json://127.0.0.1:{port}/hook")
        finally:
            outlets.close()
        assert (found.text, found.warning) == ("", "")
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_what_cannot_be_read_is_refused(outlets):
    """An address of no service, and one without a part that its service needs."""
    assert "No service has addresses with nothing://" in outlets.probe("nothing://x").text
    assert "This is not an address of Slack" in outlets.probe("slack://only-one").text
