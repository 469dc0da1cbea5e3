"""/v1/responses as OpenAI's own client reads it; nothing is kept."""

from __future__ import annotations

import json

import openai
import pytest
from openai.types.responses import Response

from tests.serve.conftest import TOOL
from tests.serve.strict import strict
from tests.serve.test_chat_completions import chat, post

FLAT = {"type": "function", **TOOL["function"], "strict": False}


def ask(api, text="Who are you?", **fields):
    return post(api, "/v1/responses", {"model": "base", "input": text, "temperature": 0, **fields})


def test_a_text_is_answered_as_a_chat_completion_answers_it(api, client):
    whole = strict(Response, ask(api))
    assert whole.output_text == "A parrot."
    assert (whole.status, whole.error) == ("completed", None)
    usage = chat(api)["usage"]
    assert (whole.usage.input_tokens, whole.usage.output_tokens) == (
        usage["prompt_tokens"],
        usage["completion_tokens"],
    )
    cut = strict(Response, ask(api, max_output_tokens=2))
    assert (cut.status, cut.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert client.responses.create(model="base", input="Bye", temperature=0).output_text == "Bye!"


def test_a_stream_ends_with_the_whole(client):
    with client.responses.stream(model="base", input="Who are you?", temperature=0) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert final.output_text == "A parrot."
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    said = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert said == "A parrot."


def test_calls_are_items_of_their_own(api, client):
    whole = strict(Response, ask(api, "miles, please", tools=[FLAT]))
    message, call = whole.output
    assert message.content[0].text == "Let me see."
    assert (call.type, call.name) == ("function_call", "convert")
    assert json.loads(call.arguments) == {"value": 301}
    with client.responses.stream(
        model="base", input="miles, please", temperature=0, tools=[FLAT]
    ) as stream:
        final = stream.get_final_response()
    assert [item.type for item in final.output] == ["message", "function_call"]
    assert final.output[1].arguments == call.arguments


def test_a_dialogue_of_items_is_the_same_prompt(api):
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "two"}]},
        {"type": "function_call", "call_id": "a", "name": "convert", "arguments": '{"value": 1}'},
        {"type": "function_call_output", "call_id": "a", "output": "2"},
    ]
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "two"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "a",
                    "type": "function",
                    "function": {"name": "convert", "arguments": '{"value": 1}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "2"},
    ]
    settings = {"tools": [FLAT], "max_output_tokens": 3, "instructions": "Be brief."}
    by_items = ask(api, items, **settings)
    by_messages = chat(api, messages=messages, tools=[TOOL], max_tokens=3)
    assert by_items["usage"]["input_tokens"] == by_messages["usage"]["prompt_tokens"]
    assert (
        by_items["output"][0]["content"][0]["text"]
        == (by_messages["choices"][0]["message"]["content"])
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("store", True),
        ("previous_response_id", "resp_1"),
        ("include", ["reasoning.encrypted_content"]),
        ("tools", [{"type": "web_search"}]),
        ("reasoning", {"effort": "high"}),
    ],
)
def test_what_is_not_honoured_is_refused_by_name(client, name, value):
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="base", input="Hi", **{name: value})
    assert refused.value.param == name
