"""What a model is trained to write for a call is read back as that call, for every template."""

from __future__ import annotations

import pytest

from tests.golden.dialogues import DIALOGUES
from tests.golden.rendering import golden_names, golden_template
from xtune.data.tool_calls import Call, MalformedCall, call_form, reasoning_in
from xtune.errors import DataError

ARGUMENTS = {
    "text": 'He said "</tool_call>", {twice}\n\\ and 漢 é <b>',
    "count": -3,
    "ratio": 1.5,
    "on": True,
    "nothing": None,
    "list": [1, "a, b=2", {"deep": []}],
}
TOOLS = DIALOGUES["tools"]["tools"]


def written(template, calls, content=""):
    """What is trained of an answer with these calls, up to the token that ends it."""
    answer = {
        "role": "assistant",
        "content": content,
        "tool_calls": [call.as_message_part() for call in calls],
    }
    dialogue = {"tools": TOOLS, "messages": [{"role": "user", "content": "?"}, answer]}
    text = "".join(span.text for span in template.samples_of(dialogue)[-1] if span.trained)
    for word in template.end_tokens:
        text = text.removesuffix(word)
    return reasoning_in(text)[1]


WITH_TOOLS = [
    name for name in golden_names() if "tool_calls" in (golden_template(name)[0].jinja or "")
]


def test_many_templates_have_a_place_for_calls():
    assert {"chatml", "qwen_chat", "internlm2_chat", "glm4", "llama3_1_chat"} <= set(WITH_TOOLS)


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_a_call_is_read_back(name):
    template, _ = golden_template(name)
    form = call_form(template)
    assert form is not None
    call = Call("weather", ARGUMENTS)
    text, calls = form.read(written(template, [call]))
    assert (text, [each[:2] for each in calls]) == ("", [call[:2]])


# The golden jinja file two_ends writes no text with a call
@pytest.mark.parametrize("name", [name for name in WITH_TOOLS if name != "two_ends"])
def test_several_calls_and_what_is_said_before_are_read_back(name):
    template, _ = golden_template(name)
    form = call_form(template)
    calls = [Call("weather", {"city": "Paris"}), Call("weather", {"city": "Rome"})]
    if name == "llama3_1_chat":
        with pytest.raises(DataError, match="one call at a time"):
            written(template, calls)
        calls = calls[:1]
    both = written(template, calls, "I look it up.")
    text, read = form.read(both)
    assert text == "I look it up."
    assert [each[:2] for each in read] == [each[:2] for each in calls]


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_a_plain_answer_has_no_calls(name):
    template, _ = golden_template(name)
    form = call_form(template)
    for answer in ("It is warm.", "A set: {1, 2}.", "weather\nis fine", '{"a": 1}'):
        assert form.read(answer) == (answer, [])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("chatml", "<tool_call>\n{'name': 'x'}"),
        ("chatml", '<tool_call>\n{"name": "x", "arguments": [1]}'),
        ("chatml", '<tool_call>\n{"arguments": {}}'),
        ("chatml", "<tool_call>" + "[" * 100_000),
        ("chatml", '<tool_call>{"name": "x", "arguments": {"a": NaN}}'),
        ("glm4", "weather\n{city: 1}"),
        ("chatglm3", 'weather\n ```python\ntool_call(city="Rome"\n```'),
        ("chatglm3", "weather\n ```python\ntool_call(city=__import__('os'))\n```"),
        ("deepseek_v3", "<｜tool▁calls▁begin｜>{}"),
        ("llama3_1_chat", '{"name": "x", "parameters": '),
    ],
)
def test_what_begins_as_a_call_and_is_none_says_why(name, text):
    with pytest.raises(MalformedCall):
        call_form(golden_template(name)[0]).read(text)


def test_a_template_without_calls_has_no_form():
    assert call_form(golden_template("smollm2")[0]) is None
