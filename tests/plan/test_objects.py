"""Objects as YAML: what is unseen is written out, and means the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.errors import RequestRefused
from tallymark.plan.drafts import read_draft
from tallymark.plan.kinds import BY_NAME
from tallymark.plan.kinds.metric import Count
from tallymark.plan.objects import parse_object, render_yaml
from tallymark.web.texts import show_block

_PIECES = st.sampled_from(
    ["\u202e", "\u200b", "\xad", "\ufeff", "\u2028", "\u2066", "\n", "\r", "\t", " ", "'", '"', "\\", "\\u", "a", "é", "😀", ": ", "# ", "- ", "{"]
)  # fmt: skip
_TEXTS = st.lists(_PIECES, max_size=60).map("".join)


@given(_TEXTS, _TEXTS)
def test_unseen_characters_are_written_out_and_come_back(title, description):
    """No character turns its neighbours around or hides in the text, and reading it gives the very same object."""
    one = Count(name="a", event_name="e", title=title[:200], description=description)
    text = render_yaml({"metric": [one]})
    assert show_block(text) == text
    assert read_draft(BY_NAME["metric"], "a", text, {"metric": {}, "dashboard": {}}).one == one


def test_a_text_that_turns_is_quoted_at_its_place():
    """What people see is the escape, in quotes; a text without such characters stays plain."""
    text = render_yaml({"metric": [Count(name="a", event_name="e", title="a\u202eb", owner="shop")]})
    assert 'title: "a\\u202eb"' in text
    assert "owner: shop" in text


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_numbers_that_cannot_be_kept_are_refused_with_their_place(value):
    """Kept as JSON they would become nothing, and the object could not be read again."""
    alert = {"name": "a", "metric": "m", "when": {"is": "above", "value": value}, "window": "1h"}
    with pytest.raises(RequestRefused, match="no number") as caught:
        parse_object(BY_NAME["alert"], alert)
    assert caught.value.at == "when.value"
    filters = [{"field": "price", "op": "in", "value": [1.0, value]}]
    with pytest.raises(RequestRefused) as caught:
        parse_object(BY_NAME["metric"], {"name": "m", "kind": "count", "event_name": "e", "filters": filters})
    assert caught.value.at == "filters[0].value[1]"
