"""Worked examples of the metric, and that no text can make it fall."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtune.eval.call_match import call_in, is_attempt, same_call

EXPECTED = '{"name": "convert", "arguments": {"value": 301, "from_unit": "mile"}}'


@pytest.mark.parametrize(
    "answer",
    [
        EXPECTED,
        f"\n  {EXPECTED}\n",
        '{"arguments":{"from_unit":"mile","value":301},"name":"convert"}',
        '{"name": "convert", "arguments": {"value": 301.0, "from_unit": "mile"}}',
        '{"name": "convert", "arguments": {"value": 3.01e2, "from_unit": "m\\u0069le"}}',
    ],
)
def test_right(answer):
    assert same_call(answer, EXPECTED)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "301 miles are 484 kilometres.",
        EXPECTED[:-1],
        EXPECTED + ".",
        EXPECTED + EXPECTED,
        f"Sure: {EXPECTED}",
        f"```json\n{EXPECTED}\n```",
        f"[{EXPECTED}]",
        EXPECTED.replace('"', "'"),
        EXPECTED.replace("convert", "exchange"),
        EXPECTED.replace("301", "302"),
        EXPECTED.replace("301", '"301"'),
        EXPECTED.replace("301", "NaN"),
        EXPECTED.replace("mile", "miles"),
        EXPECTED.replace("mile", "Mile"),
        '{"name": "convert", "arguments": {"value": 301}}',
        '{"name": "convert", "arguments": {"value": 301, "from_unit": "mile", "to": "km"}}',
        '{"name": "convert", "arguments": {"value": 301, "from_unit": "mile"}, "id": 1}',
        '{"name": "convert", "arguments": null}',
        '{"name": "convert"}',
        "[" * 100_000,
        '{"name": "convert", "arguments": {"value": ' + "9" * 10_000 + "}}",
        "__import__('os').system('true')",
    ],
)
def test_wrong(answer):
    assert not same_call(answer, EXPECTED)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("1", "true", False),
        ("0", "false", False),
        ("true", "true", True),
        ("null", "null", True),
        ("[1, 2]", "[1, 2.0]", True),
        ("[1, 2]", "[2, 1]", False),
        ('{"deep": {"er": [1]}}', '{"deep": {"er": [1.0]}}', True),
        ('{"deep": {"er": [1]}}', '{"deep": {"er": [1, null]}}', False),
        ('"{}"', '"{}"', True),
        ('"}"', '"}"', True),
        ("12345678901234567890", "12345678901234567891", False),
    ],
)
def test_arguments(a, b, same):
    calls = ['{"name": "f", "arguments": {"x": ' + value + "}}" for value in (a, b)]
    assert same_call(*calls) is same


@pytest.mark.parametrize(
    ("text", "attempt"),
    [
        ("You are welcome!", False),
        ("", False),
        ("The set {1, 2} and {} are sets.", False),
        ('A JSON example: {"a": 1}', False),
        ('{"name": "conv', True),
        ("{}", True),
        (f"Let me call {EXPECTED} for you.", True),
        (f"{{}} {{ {EXPECTED}", True),
        ("{" * 5000, True),
    ],
)
def test_an_attempt_at_a_call(text, attempt):
    assert is_attempt(text) is attempt


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(name=st.text(), arguments=st.dictionaries(st.text(), JSON, max_size=4), indent=st.booleans())
def test_every_call_is_the_same_as_itself(name, arguments, indent):
    call = {"name": name, "arguments": arguments}
    if "Infinity" in json.dumps(call):
        return
    text = json.dumps(call, indent=2 if indent else None, ensure_ascii=indent)
    assert call_in(text) is not None
    assert same_call(text, json.dumps(call))
    assert not same_call(json.dumps({**call, "name": name + "x"}), text)


@given(text=st.text() | st.text('{}[]":,name arguments\\'))
def test_no_text_raises(text):
    call_in(text)
    is_attempt(text)
    assert not same_call(text, "not a call")
