"""Whatever a row holds, a map_fn makes something valid of it or says what is wrong."""

import contextlib
import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xtune.data.formats import all_formats
from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.dialogue import ROLES
from xtune.errors import DataError
from xtune.registry import MAP_FNS, resolve

# Fields that a format reads besides those of its example
MORE = {
    "alpaca": ["system", "history"],
    "belle": ["conversations"],
    "coig": ["input", "output"],
    "firefly": ["conversation"],
    "openai": ["tools"],
    "sharegpt": ["tools"],
    "tokenized": ["label_mask", "attention_mask"],
    "ultrachat": ["messages"],
}
FIELDS = {name: [*format.row, *MORE.get(name, [])] for name, format in all_formats().items()}
INNER = [
    *("role", "content", "tool_calls", "tool_call_id", "name", "loss", "weight", "function"),
    *("arguments", "type", "text", "from", "value", "system", "input", "output"),
    *("output_with_loss", "human", "assistant", "question", "answer", "replies", "rank"),
    *("turn_1", "turn_2", "Human", "MOSS", "Inner Thoughts", "Commands", "Tool Responses"),
    *("parameters", "properties", "required", "description", "default"),
]
WORDS = [
    *("user", "assistant", "tool", "human", "gpt", "function_call", "false", "{}", "[]", "text"),
    *("prompter", "function", "Human: a\nAssistant:", "User: a\nAssistant: b", "str, optional"),
    *("### Human: a### Assistant: b", "\n\nHuman: a\n\nAssistant: b", "[{'from': 'user'}]"),
    *('<|startofthink|>{"api_name": "a"}<|endofthink|>', "<|startofexec|>1<|endofexec|>"),
    *('1. {"plugin_name": "a"}', "<|Human|>: a<eoh>"),
]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.floats()
    | st.sampled_from(WORDS)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(INNER), inner, max_size=5)
    ),
    max_leaves=15,
)


@pytest.mark.parametrize("name", sorted(FIELDS))
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_any_row_gives_what_is_promised_or_a_data_error(name, data):
    row = data.draw(
        st.dictionaries(st.sampled_from([*FIELDS[name], "other"]), json_values, max_size=4)
    )
    before = copy.deepcopy(row)
    with contextlib.suppress(DataError):  # any other exception is a bug
        check(resolve(MAP_FNS, name)(row))
    assert repr(row) == repr(before)  # repr: NaN is not equal to itself


texts = st.text(min_size=1).filter(str.strip)
losses = st.sampled_from([{}, {"loss": True}, {"loss": False}, {"loss": "True"}, {"loss": "false"}])
turns = st.lists(st.tuples(texts, texts, losses), min_size=1, max_size=4)


@given(system=st.none() | texts, turns=turns)
@settings(deadline=None)
def test_three_dialogue_formats_say_the_same(system, turns):
    """The same dialogue gives the same Conversation, or the same reason against it."""
    openai, sharegpt, xtuner = [], [], []
    if system:
        openai.append({"role": "system", "content": system})
        sharegpt.append({"from": "system", "value": system})
    for asked, answer, loss in turns:
        openai += [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": answer, **loss},
        ]
        sharegpt += [{"from": "human", "value": asked}, {"from": "gpt", "value": answer, **loss}]
        xtuner.append({"input": asked, "output": answer, "output_with_loss": loss.get("loss")})
    xtuner[0]["system"] = system
    made = [
        outcome("openai", {"messages": openai}),
        outcome("sharegpt", {"conversations": sharegpt}),
        outcome("turns", {"conversation": xtuner}),
    ]
    assert made[0] == made[1] == made[2]
    if not isinstance(made[0], str):
        check(made[0])
        assert [m["content"] for m in made[0]["messages"]] == [
            *([system] if system else []),
            *(text for asked, answer, _ in turns for text in (asked, answer)),
        ]


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_the_example_of_every_format_keeps_the_promise_too(name):
    """Random rows seldom reach the end of a map_fn; its own example does."""
    format = all_formats()[name]
    assert set(format.row) >= set(format.required)
    check(format.becomes)


@given(instruction=st.text(), extra=st.none() | st.text(), output=st.none() | st.text(), name=texts)
@settings(deadline=None)
def test_an_alpaca_row_loses_no_text(instruction, extra, output, name):
    row = {"instruction": instruction, "input": extra, "output": output}
    made = outcome("alpaca", row)
    if isinstance(made, str):
        assert not (output or "").strip() or not (instruction + (extra or "")).strip()
    else:
        asked, answered = made["messages"]
        assert answered["content"] == output
        assert all(part in asked["content"] for part in (instruction, extra or "") if part.strip())


def outcome(name, row):
    try:
        return resolve(MAP_FNS, name)(row)
    except UnusableRow as error:
        return error.reason


def check(made):
    """Raise where a map_fn has made what structures.py does not promise."""
    json.dumps(made)  # plain data
    if "text" in made:
        assert made["text"].strip()
    elif "input_ids" in made:
        assert len(made["input_ids"]) == len(made["trained"])
        assert any(made["trained"][1:])
    elif "messages" in made:
        check_messages(made["messages"])
        assert any(m["role"] == "assistant" and m.get("loss", True) for m in made["messages"])
    else:
        check_messages(made["prompt"])
        assert made["prompt"]
        assert ("chosen" in made) == ("rejected" in made)
        for answer in (made[key] for key in ("chosen", "rejected") if key in made):
            check_messages(answer)
            assert answer[-1]["role"] == "assistant"
        assert made.get("chosen", 1) != made.get("rejected", 2)
    if "tools" in made:
        assert isinstance(made["tools"], list)
        assert made["tools"]


def check_messages(messages):
    for message in messages:
        assert message["role"] in ROLES
        assert isinstance(message["content"], str)
        assert message["content"].strip() or message["role"] == "tool" or "tool_calls" in message
        assert message.get("loss", False) is False
        for call in message.get("tool_calls", []):
            assert isinstance(call["function"]["name"], str)
            assert isinstance(call["function"]["arguments"], dict)
