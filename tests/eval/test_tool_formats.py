"""Each format's rows become requests and expected calls, and answers are judged by their values."""

from __future__ import annotations

import pytest

from xtune.data.tool_calls import Call
from xtune.errors import DataError, UsageError
from xtune.eval.tool_formats import FORMATS, detect_format
from xtune.eval.tool_match import judge

ADD = {
    "name": "add",
    "description": "Add.",
    "parameters": {
        "type": "dict",
        "properties": {"a": {"type": "float"}, "type": {"type": "tuple", "items": {"type": "any"}}},
        "required": ["a"],
    },
}
BFCL = {
    "id": "parallel_3",
    "question": [[{"role": "user", "content": "Add!"}]],
    "function": [ADD],
    "ground_truth": [{"add": {"a": [1, 2]}}, {"add": {"a": [2], "note": ["New York", ""]}}],
}
RAVEN = {
    "Input": "How hot is it here?",
    "Output": "weather(here(7), unit='C')",
    "Context": [
        'def weather(place: Optional[str], unit: str = "F", days: List[int] = []):\n    """Say."""',
        "def here(precision: int): ...",
    ],
}
BENCH = {
    "conversations": [
        {"from": "system", "value": "You can call clock and Finish."},
        {"from": "user", "value": "Time in Rome?"},
        {
            "from": "assistant",
            "value": 'Thought: look\nAction: clock\nAction Input: {"city": "Rome"}',
        },
        {"from": "function", "value": "12:00"},
        {"from": "assistant", "value": "Thought: done\nAction: Finish\nAction Input: {}"},
    ]
}
OPENAI = {
    "messages": [
        {"role": "user", "content": "2 and 3?"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "add", "arguments": '{"a": 2, "b": true}'}}],
        },
        {"role": "tool", "content": "5"},
        {"role": "assistant", "content": "Five."},
    ],
    "tools": [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}],
    "kind": "sum",
}


def read(name, row, **changes):
    return FORMATS[name].read({**row, **changes})


def verdict(case, *calls):
    return tuple(judge(case, [Call(name, arguments) for name, arguments in calls]))


def test_bfcl():
    case = read("bfcl", BFCL)
    assert case.kind == "parallel"
    assert case.messages == [{"role": "user", "content": "Add!"}]
    schema = case.tools[0]["function"]["parameters"]
    assert schema["type"] == "object"
    assert schema["properties"] == {"a": {"type": "number"}, "type": {"type": "array", "items": {}}}
    one, two = ("add", {"a": 1}), ("add", {"a": 2.0, "note": "new york"})
    assert verdict(case, one, two) == verdict(case, two, one) == (True, True)
    left_out = ("add", {"a": 2})
    assert verdict(case, left_out, left_out) == (True, True)  # 2 is right for the first as well
    assert verdict(case, one, one) == (True, False)
    assert verdict(case, ("add", {"a": True}), left_out) == (True, False)  # no 1
    assert verdict(case, ("add", {"a": "1"}), left_out) == (True, False)
    assert verdict(case, ("add", {}), left_out) == (True, False)
    assert verdict(case, ("add", {"a": 1, "b": 1}), left_out) == (True, False)
    assert verdict(case, one) == verdict(case, one, two, two) == (False, False)


def test_bfcl_objects_and_lists_hold_allowed_values():
    truth = [{"add": {"a": [{"x": [1, 2], "y": ["", "z"]}], "l": [["p", [1]]]}}]
    case = read("bfcl", BFCL, ground_truth=truth, id="live_simple_1-2-3")
    assert case.kind == "simple"
    assert verdict(case, ("add", {"a": {"x": 2}, "l": ["P", [1.0]]})) == (True, True)
    assert verdict(case, ("add", {"a": {"x": 3}, "l": ["p", [1]]})) == (True, False)
    assert verdict(case, ("add", {"a": {"x": 1}, "l": ["p", [1, 1]]})) == (True, False)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("parallel_multiple_1", "parallel_multiple"),
        ("live_multiple_2", "multiple"),
        ("simple_python_0", "simple"),
        ("rest_9", "rest"),
    ],
)
def test_bfcl_kinds(name, kind):
    assert read("bfcl", BFCL, id=name).kind == kind


def test_bfcl_irrelevance_needs_no_call_and_no_ground_truth():
    row = {key: value for key, value in BFCL.items() if key != "ground_truth"}
    assert read("bfcl", row, id="irrelevance_0").accepted == ()
    with pytest.raises(DataError, match="tool_calls.answers"):
        read("bfcl", row)
    with pytest.raises(DataError, match="2 turns"):
        read("bfcl", BFCL, question=BFCL["question"] * 2)


def test_nexusraven_nested():
    case = read("nexusraven", RAVEN)
    assert case.kind == "nested"
    schema = case.tools[0]["function"]["parameters"]
    assert schema["required"] == ["place"]
    assert schema["properties"]["days"] == {"type": "array", "items": {"type": "integer"}}
    inner = ("here", {"precision": 7})
    as_json = {"name": "here", "arguments": {"precision": 7.0}}
    assert verdict(case, inner) == (True, True)
    assert verdict(case, ("weather", {"place": as_json, "unit": "C"})) == (True, True)
    assert verdict(case, ("weather", {"place": Call(*inner), "unit": "C"})) == (True, True)
    assert verdict(case, ("weather", {"place": "here", "unit": "C"})) == (True, False)
    assert verdict(case, ("here", {"precision": 8})) == (True, False)


@pytest.mark.parametrize(
    ("output", "kind", "calls"),
    [
        ("r = lib.here(precision=3)", "single", [3]),
        ("here(1); here(2)", "parallel", [2, 1]),
        (["here(1)", "here(2)"], "parallel", [1, 2]),
        ("[here(-1), here(2)]", "parallel", [2, -1]),
    ],
)
def test_nexusraven_outputs(output, kind, calls):
    case = read("nexusraven", RAVEN, Output=output)
    assert case.kind == kind
    assert verdict(case, *(("here", {"precision": at}) for at in calls)) == (True, True)


def test_nexusraven_other_names_of_fields():
    row = {
        "prompt": "Where?",
        "python_function_name": "here",
        "python_args_dict": "{'precision': 2}",
        "tools": [{"function_calls": "here(precision: int)", "descriptions": "Says where."}],
    }
    case = read("nexusraven", row)
    assert case.tools[0]["function"]["description"] == "Says where."
    assert verdict(case, ("here", {"precision": 2})) == (True, True)


@pytest.mark.parametrize(
    "output",
    [
        "__import__('os').system('touch pwned')",
        "__import__('os')",
        "here(__import__('os').system('touch pwned'))",
        "here(precision=open('pwned', 'w'))",
        "here([x for x in (1,)])",
        "here(**{'precision': 1})",
        "here(1, 2)",
        "import os",
        "here(1) if here(2) else 0",
        "here(" + "(" * 500 + ")" * 500 + ")",
        "here(1",
    ],
)
def test_nothing_but_calls_of_the_tools_is_read(output, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError):
        read("nexusraven", RAVEN, Output=output)
    assert not list(tmp_path.iterdir())


def test_toolbench():
    case = read("toolbench", BENCH)
    assert [message["role"] for message in case.messages] == ["system", "user"]
    right, wrong = ("clock", {"city": "Rome"}), ("clock", {"city": "Bonn"})
    assert verdict(case, right, wrong) == (True, True)  # the first action alone counts
    assert verdict(case, wrong, right) == (True, False)
    finish = BENCH["conversations"][:2] + BENCH["conversations"][-1:]
    assert read("toolbench", BENCH, conversations=finish).accepted == ()
    with pytest.raises(DataError, match="no query"):
        read("toolbench", BENCH, conversations=BENCH["conversations"][2:])


def test_openai():
    case = read("openai", OPENAI)
    assert (case.kind, len(case.messages)) == ("sum", 1)
    assert verdict(case, ("add", {"a": 2.0, "b": True})) == (True, True)
    assert verdict(case, ("add", {"a": 2, "b": 1})) == (True, False)
    text = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    assert read("openai", OPENAI, messages=text).accepted == ()
    text[1]["content"] = '{"name": "now", "arguments": {}}'
    assert verdict(read("openai", OPENAI, messages=text), ("now", {})) == (True, True)


def test_formats_are_told_by_their_fields():
    rows = {"bfcl": BFCL, "nexusraven": RAVEN, "toolbench": BENCH, "openai": OPENAI}
    assert {name: detect_format(row) for name, row in rows.items()} == {n: n for n in rows}
    with pytest.raises(UsageError, match=r"(?s)'?a, b.*bfcl: id.*openai: messages"):
        detect_format({"a": 1, "b": 2})
