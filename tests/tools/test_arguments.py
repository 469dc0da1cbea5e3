"""Arguments as models write them."""

from __future__ import annotations

import json

import pytest

from tests.tools.misbehaving import echo
from xtune.tools.arguments import read_arguments
from xtune.tools.base import ToolError
from xtune.tools.schema import spec_of
from xtune.tools.spec import ToolSpec

SPEC = spec_of(echo, name="echo", seconds=1)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({"text": "a"}, {"text": "a"}),
        ('{"text": "a"}', {"text": "a"}),
        ({"text": 3}, {"text": "3"}),
        ({"text": True}, {"text": "true"}),
        ({"text": "a", "times": "3"}, {"text": "a", "times": 3}),
        ({"text": "a", "times": 3.0}, {"text": "a", "times": 3}),
        ({"text": "a", "scale": "2.5e3"}, {"text": "a", "scale": 2500.0}),
        ({"text": "a", "scale": 2}, {"text": "a", "scale": 2}),
        ({"text": "a", "loud": "True"}, {"text": "a", "loud": True}),
        ({"text": "a", "tags": '["x", 1]'}, {"text": "a", "tags": ["x", "1"]}),
        ({"text": "a", "tags": None, "times": None}, {"text": "a", "tags": None}),
        ({"text": "a", "unit": " KM "}, {"text": "a", "unit": "km"}),
        ({"text": "a", "extra": {"n": "7"}}, {"text": "a", "extra": {"n": 7}}),
    ],
)
def test_what_can_mean_only_one_thing_is_taken_for_it(given, taken):
    got = read_arguments(SPEC, given)
    assert got == taken
    assert [type(value) for value in got.values()] == [type(value) for value in taken.values()]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "the argument text is missing"),
        ({"txt": "a"}, "no argument 'txt'; did you mean 'text'?; the argument text is missing"),
        ({"text": None}, "text must be a text, not None"),
        ({"text": ["a"]}, "text must be a text"),
        ({"text": "a", "times": "three"}, "times must be a whole number, not 'three'"),
        ({"text": "a", "times": 2.5}, "times must be a whole number"),
        ({"text": "a", "times": True}, "times must be a whole number"),
        ({"text": "a", "times": "1_0"}, "times must be a whole number"),
        ({"text": "a", "times": "9" * 1000}, "times must be a whole number"),
        ({"text": "a", "scale": float("nan")}, "scale must be a number"),
        ({"text": "a", "scale": "inf"}, "scale must be a number"),
        ({"text": "a", "loud": "yes"}, "loud must be true or false"),
        ({"text": "a", "tags": "x"}, "tags must be a list"),
        ({"text": "a", "unit": "ell"}, "unit is 'ell', allowed are 'km', 'mile'"),
        ({"text": "a", "extra": {"n": "x"}}, "extra.n must be a whole number"),
        ({"text": "a", "times": "x", "scale": "y"}, "whole number, not 'x'; scale must be"),
        ({"text": "a" * 300_000}, "more than 200000 characters"),
        ("{", "are no JSON"),
        ("[" * 100_000, "are no JSON"),
        ("[1]", "must be an object"),
        ({"text": {1, 2}}, "are no JSON"),
    ],
)
def test_anything_else_is_refused_with_every_reason(given, said):
    with pytest.raises(ToolError) as caught:
        read_arguments(SPEC, given)
    assert said in str(caught.value)


def of_server(schema):
    return ToolSpec("theirs", "…", schema)


def test_the_schema_of_a_server_may_refer_within_itself_and_offer_several_types():
    spec = of_server(
        {
            "type": "object",
            "properties": {
                "where": {"$ref": "#/$defs/place"},
                "id": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
                "mode": {"type": ["string", "null"]},
                "level": {"type": "integer", "minimum": 1, "maximum": 3},
            },
            "$defs": {
                "place": {
                    "type": "object",
                    "properties": {"lat": {"type": "number"}, "next": {"$ref": "#/$defs/place"}},
                    "required": ["lat"],
                }
            },
        }
    )
    given = {"where": {"lat": "1.5", "next": {"lat": 2}}, "id": "7", "mode": None, "level": "2"}
    assert read_arguments(spec, given) == {
        "where": {"lat": 1.5, "next": {"lat": 2}},
        "id": "7",  # a string is allowed, so it stays one
        "mode": None,
        "level": 2,
    }
    for wrong, said in [
        ({"where": {}}, "where.lat is missing"),
        ({"level": 4}, "level is 4, but its maximum is 3"),
        ({"id": []}, "id must be a whole number"),
    ]:
        with pytest.raises(ToolError, match=said):
            read_arguments(spec, wrong)


def test_a_schema_that_refers_to_itself_for_ever_ends():
    spec = of_server({"properties": {"a": {"$ref": "#/properties/a"}}})
    assert read_arguments(spec, {"a": 1}) == {"a": 1}
    deep = json.loads('{"a":' * 40 + "1" + "}" * 40)
    spec = of_server(
        {
            "properties": {"a": {"$ref": "#/$defs/x"}},
            "$defs": {"x": {"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}}},
        }
    )
    with pytest.raises(ToolError, match="nested more than 32 deep"):
        read_arguments(spec, deep)
