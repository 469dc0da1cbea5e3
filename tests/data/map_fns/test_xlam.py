import json

import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.xlam import xlam_map_fn
from xtune.errors import DataError

CALLS = [
    {"name": "clock", "arguments": {"city": "Rome"}},
    {"name": "clock", "arguments": {"city": "Oslo"}},
]
TOOLS = [
    {
        "name": "clock",
        "description": "Tells the time.",
        "parameters": {
            "city": {"description": "Where.", "type": "str"},
            "digits": {"description": "How exact.", "type": "int, optional", "default": 2},
        },
    }
]
ROW = {"id": 0, "query": "Time in Rome and Oslo?", "answers": CALLS, "tools": TOOLS}


def test_the_calls_are_the_answer_and_the_tools_are_described():
    made = xlam_map_fn(ROW)
    assert made["messages"] == [
        {"role": "user", "content": "Time in Rome and Oslo?"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"type": "function", "function": call} for call in CALLS],
        },
    ]
    assert made["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "clock",
                "description": "Tells the time.",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "city": {"description": "Where.", "type": "string"},
                        "digits": {"description": "How exact.", "type": "integer", "default": 2},
                    },
                    "required": ["city"],
                },
            },
        }
    ]


def test_lists_may_be_json_text_as_the_hub_has_them():
    text = {**ROW, "answers": json.dumps(CALLS), "tools": json.dumps(TOOLS)}
    assert xlam_map_fn(text) == xlam_map_fn(ROW)


@pytest.mark.parametrize(
    ("written", "schema"),
    [
        ("str", "string"),
        ("float", "number"),
        ("bool, optional", "boolean"),
        ("List[int]", "array"),
        ("Dict[str, int]", "object"),
        ("Optional[str]", "string"),
        ("number", "number"),
        ("Callable", "Callable"),
    ],
)
def test_pythons_types_become_json_schemas(written, schema):
    tool = {"name": "f", "parameters": {"x": {"type": written}}}
    described = xlam_map_fn({**ROW, "tools": [tool]})["tools"][0]["function"]["parameters"]
    assert described["properties"]["x"]["type"] == schema
    assert described["required"] == ([] if "ptional" in written else ["x"])


def test_a_schema_is_left_as_it_is():
    schema = {"type": "object", "properties": {"x": {"type": "string"}}}
    for tool in (
        {"name": "f", "description": "d", "parameters": schema},
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": schema}},
    ):
        assert xlam_map_fn({**ROW, "tools": [tool]})["tools"][0]["function"] == {
            "name": "f",
            "description": "d",
            "parameters": schema,
        }


def test_the_row_is_left_as_it_is():
    before = json.dumps(ROW)
    xlam_map_fn(ROW)
    assert json.dumps(ROW) == before


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"answers": "[]"}, "empty answer"), ({"query": ""}, "empty request")],
)
def test_rows_with_nothing_to_learn_are_unusable(change, reason):
    with pytest.raises(UnusableRow) as caught:
        xlam_map_fn({**ROW, **change})
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answers": "{}"}, "'answers' must be a list, not dict"),
        ({"answers": "[clock()]"}, "'answers' is text, but neither JSON nor"),
        ({"answers": [{"arguments": {}}]}, "a tool call of message 2 must be"),
        ({"tools": ["clock"]}, "a tool must be an object with name and parameters, not str"),
        ({"tools": [{"name": "f", "parameters": [1]}]}, "parameters of 'f' must be an object"),
    ],
)
def test_another_format_is_fatal(change, message):
    with pytest.raises(DataError, match=message) as caught:
        xlam_map_fn({**ROW, **change})
    assert not isinstance(caught.value, UnusableRow)


@pytest.mark.parametrize("missing", ["query", "answers", "tools"])
def test_a_missing_field_is_fatal(missing):
    with pytest.raises(DataError, match=f"no field '{missing}'; fields seen: 'id'"):
        xlam_map_fn({key: value for key, value in ROW.items() if key != missing})
