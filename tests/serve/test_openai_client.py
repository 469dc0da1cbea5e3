"""OpenAI's own client, whole and streamed, in a thread and in an event loop; and plain curl."""

from __future__ import annotations

import asyncio
import json
import subprocess

import openai
import pytest
from pydantic import BaseModel, Field

from tests.serve.conftest import TOOL
from tests.serve.test_chat_completions import WHO, post

TWO = [{"role": "user", "content": "two"}]


class Painted(BaseModel):
    colour: str = Field(pattern="^(red|blue)$")
    count: int = Field(ge=0, le=9)


def test_an_answer_is_parsed_into_a_class(client):
    settings = {"model": "red", "messages": WHO, "response_format": Painted, "seed": 3}
    said = client.chat.completions.parse(temperature=1, **settings)
    painted = said.choices[0].message.parsed
    assert painted == Painted.model_validate_json(said.choices[0].message.content)
    with client.chat.completions.stream(temperature=1, **settings) as stream:
        kinds = [event.type for event in stream]
        assert stream.get_final_completion().choices[0].message.parsed == painted
    assert kinds[-1] == "content.done"
    assert {"content.delta", "chunk"} < set(kinds)


def test_an_answer_that_the_limit_cuts_is_no_class_and_the_client_says_so(client):
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(
            model="base", messages=WHO, response_format=Painted, max_tokens=3
        )


def test_calls_are_parsed_by_their_schema(client):
    tool = openai.pydantic_function_tool(Painted, name="convert")
    said = client.chat.completions.parse(
        model="red", messages=TWO, tools=[tool], tool_choice="required", max_tokens=300, seed=3
    )
    (call, *_) = said.choices[0].message.tool_calls
    assert isinstance(call.function.parsed_arguments, Painted)


def test_an_event_loop_asks_many_at_once(api):
    async def ask():
        async with openai.AsyncOpenAI(
            base_url=f"{api.url}/v1", api_key="none", max_retries=0
        ) as client:
            create = client.chat.completions.create
            many = await asyncio.gather(
                *(create(model="base", messages=WHO, temperature=0) for _ in range(12))
            )
            stream = await create(model="base", messages=WHO, temperature=0, stream=True)
            pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
            async with client.chat.completions.stream(
                model="base", messages=TWO, tools=[TOOL], temperature=0
            ) as events:
                final = await events.get_final_completion()
            ids = [model.id async for model in client.models.list()]
            vectors = await client.embeddings.create(model="base", input=["Paris", "Bye"])
            text = await client.completions.create(model="base", prompt="Paris", max_tokens=2)
            answer = await client.responses.create(model="base", input="Bye", temperature=0)
            return many, pieces, final, ids, vectors, text, answer

    many, pieces, final, ids, vectors, text, answer = asyncio.run(ask())
    assert {each.choices[0].message.content for each in many} == {"A parrot."}
    assert "".join(pieces) == "A parrot."
    calls = final.choices[0].message.tool_calls
    assert [json.loads(call.function.arguments) for call in calls] == [{"value": 301}, {"value": 7}]
    assert ids == ["base", "red", "blue"]
    assert [each.index for each in vectors.data] == [0, 1]
    assert text.usage.completion_tokens <= 2
    assert answer.output_text == "Bye!"


def test_a_dialogue_goes_on_with_the_message_that_came(api, client):
    """The result of a call, and the message object itself, as OpenAI's guide has it."""
    said = client.chat.completions.create(
        model="base", messages=TWO, tools=[TOOL], temperature=0
    ).choices[0]
    assert said.finish_reason == "tool_calls"
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": "7"}
        for call in said.message.tool_calls
    ]
    messages = [*TWO, said.message, *results]
    again = client.chat.completions.create(
        model="base", messages=messages, tools=[TOOL], max_tokens=5
    )
    messages[1] = said.message.model_dump(exclude_none=True)
    read = post(api, "/tokenize", {"messages": messages, "tools": [TOOL]})
    assert again.usage.prompt_tokens == read["count"]


def curl(*words):
    done = subprocess.run(["curl", "-s", *words], capture_output=True, text=True, check=True)
    return done.stdout


def test_curl_gets_an_answer_and_a_refusal(api):
    url = f"{api.url}/v1/chat/completions"
    asked = json.dumps({"model": "base", "messages": WHO, "temperature": 0})
    for head in ([], ["-H", "Content-Type: application/json"]):  # curl's own is a form's
        answer = json.loads(curl(url, *head, "-d", asked))
        assert answer["choices"][0]["message"]["content"] == "A parrot."
    wrong = json.loads(curl(url, "-d", "{'model': 'base'}"))  # a shell's quotes, not JSON's
    assert wrong["error"]["code"] == "invalid_json"
    assert curl("-o", "/dev/null", "-w", "%{http_code}", url) == "405"
