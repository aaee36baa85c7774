"""What is told of an object's fields, and what a new one begins with, come from the types and agree with them."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from tallymark.plan.fields import begin_text, describe_fields, list_choices
from tallymark.plan.kinds import BY_NAME
from tallymark.plan.kinds.dashboard import Dashboard
from tallymark.plan.kinds.metric import Count, Metric
from tallymark.plan.objects import check_object, parse_object
from tallymark.plan.yaml_text import parse_yaml

_CHOICES = [(kind.name, choice) for kind in BY_NAME.values() for choice in list_choices(kind.name) or ("",)]
_OBJECTS = {"metric": {"orders": Count(name="orders", event_name="order")}, "dashboard": {}, "alert": {}}


def test_every_kind_of_metric_can_be_chosen():
    """The choices are the members of the union, each with a sentence."""
    tags = [one.__struct_config__.tag for one in get_args(Metric)]
    assert list(list_choices("metric")) == tags
    assert all(about.endswith(".") for about in list_choices("metric").values())
    assert list_choices("dashboard") == {}


@pytest.mark.parametrize(("kind_name", "choice"), _CHOICES)
def test_a_new_object_can_be_saved_as_it_begins(kind_name, choice):
    """The text is an object of the chosen kind that passes the checks, and so is what stands in its comments."""
    kind = BY_NAME[kind_name]
    text = begin_text(kind, choice, ["orders"])
    (value,) = parse_yaml(text).value[kind.plural]
    one = parse_object(kind, value)
    assert (one.__struct_config__.tag or "") == choice
    check_object(kind, one, _OBJECTS)
    open_text = re.sub("(?m)^    # ", "    ", text)
    (value,) = parse_yaml(open_text).value[kind.plural]
    one = parse_object(kind, value)
    assert set(one.__struct_encode_fields__) == set(value) - {"kind"}


def test_a_new_object_names_a_metric_that_there_is():
    """Where a project has a metric, a formula and a panel begin with it; else with an example."""
    assert "metrics: [paid]" in begin_text(BY_NAME["dashboard"], "", ["paid", "orders"])
    assert "expression: orders * 100" in begin_text(BY_NAME["metric"], "formula", [])
    assert "kind: count" in begin_text(BY_NAME["metric"], "nonsense", [])


def test_fields_are_told_with_what_may_stand_there():
    """Limits, words and defaults are those of the types; what all kinds share is told once."""
    tables = {table.name: {one.name: one for one in table.fields} for table in describe_fields("metric")}
    common = tables["every metric"]
    assert common["name"].default == "required"
    assert common["title"].allowed == "text of up to 200 characters"
    assert (common["minimum_sample"].allowed, common["minimum_sample"].default) == (
        "whole number, 0 to 1,000,000,000",
        "0",
    )
    assert set(common["better"].allowed.split(", ")) == {"up", "down", "neither"}
    assert "quantile" in common["kind"].allowed
    assert set(tables["count"]) == {"event_name", "filters"}
    assert tables["funnel"]["steps"].allowed == "list of 2 to 10: step"
    assert (tables["quantile"]["q"].allowed, tables["quantile"]["q"].default) == ("number, 0 to 1", "0.5")
    assert {"step", "filter", "measure", "selection"} <= set(tables)
    assert tables["filter"]["value"].allowed == "any value"


def test_a_default_is_what_a_file_would_say():
    """A default of yes or no is the word that YAML takes."""
    (table,) = [one for one in describe_fields("alert") if one.name == "alert"]
    defaults = {one.name: one.default for one in table.fields}
    assert defaults["although_intermediate"] == "false"


def test_a_dashboard_has_one_table_and_those_of_its_parts():
    """Names are those of YAML: from and to, not the attributes' names."""
    tables = {table.name: [one.name for one in table.fields] for table in describe_fields("dashboard")}
    assert tables["dashboard"] == list(Dashboard.__struct_encode_fields__)
    assert {"from", "to"} <= set(tables["dashboard"])
    assert "width" in tables["panel"]
