"""/v1/chat/completions as OpenAI's own client reads it: whole, streamed, with tools."""

from __future__ import annotations

import json
import urllib.request

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.serve.conftest import TOOL, WITH_TOOLS
from tests.serve.strict import strict
from xtune.agents.remote import RemoteModel
from xtune.generation.settings import GenerationSettings

WHO = [{"role": "user", "content": "Who are you?"}]


def post(api, path, body, expect=200):
    """The JSON of an answer, or the objects of a stream."""
    request = urllib.request.Request(
        api.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            said, status = response.read().decode(), response.status
    except urllib.error.HTTPError as error:
        said, status = error.read().decode(), error.code
    assert status == expect, said
    if not said.startswith(("data:", ":")):
        return json.loads(said)
    lines = [line for line in said.split("\n\n") if line and not line.startswith(":")]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def chat(api, text="Who are you?", **fields):
    fields = {"model": "base", "temperature": 0, **fields}
    fields.setdefault("messages", [{"role": "user", "content": text}])
    return post(api, "/v1/chat/completions", fields)


def joined(chunks, index=0):
    """Content, calls, finish reason of a stream."""
    content, calls, reason = "", {}, None
    for chunk in chunks:
        for choice in chunk["choices"]:
            if choice["index"] != index:
                continue
            delta = choice["delta"]
            content += delta.get("content") or ""
            for call in delta.get("tool_calls", ()):
                own = calls.setdefault(call["index"], {"arguments": ""})
                own["name"] = call["function"].get("name", own.get("name"))
                own["arguments"] += call["function"].get("arguments", "")
            reason = choice["finish_reason"] or reason
    return content, [calls[at] for at in sorted(calls)], reason


def of_whole(answer, index=0):
    choice = answer["choices"][index]
    calls = [
        {"arguments": call["function"]["arguments"], "name": call["function"]["name"]}
        for call in choice["message"].get("tool_calls", ())
    ]
    return choice["message"]["content"] or "", calls, choice["finish_reason"]


def test_a_whole_answer_is_of_the_clients_own_type(api):
    answer = strict(ChatCompletion, chat(api))
    (choice,) = answer.choices
    assert choice.message.content == "A parrot."
    assert (choice.finish_reason, choice.logprobs) == ("stop", None)
    assert answer.model == "base"
    usage = answer.usage
    assert usage.completion_tokens == 1 + len(api.served.models["base"].encode("A parrot."))
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_a_stream_has_the_chunks_that_clients_want(api):
    chunks = chat(api, stream=True)
    for chunk in chunks:
        strict(ChatCompletionChunk, chunk)
        assert chunk["object"] == "chat.completion.chunk"
        assert [set(choice) for choice in chunk["choices"]] == [
            {"index", "delta", "finish_reason", "logprobs"}
        ]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert len({(c["id"], c["created"], c["model"]) for c in chunks}) == 1
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert reasons == [None] * (len(chunks) - 1) + ["stop"]
    assert chunks[-1]["choices"][0]["delta"] == {}
    assert all("usage" not in chunk for chunk in chunks)
    assert joined(chunks) == ("A parrot.", [], "stop")


def test_usage_comes_in_a_last_chunk_only_where_it_is_asked_for(api):
    chunks = chat(api, stream=True, stream_options={"include_usage": True})
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == chat(api)["usage"]["completion_tokens"]
    assert {chunk["usage"] for chunk in chunks[:-1]} == {None}
    chunks = chat(api, stream=True, stream_options={"include_usage": False})
    assert all(chunk["choices"] for chunk in chunks)


SETTINGS = [
    {"max_tokens": 60},
    {"temperature": 1.4, "seed": 11, "max_tokens": 20},
    {"temperature": 1.4, "seed": 12, "top_p": 0.9, "top_k": 30, "max_tokens": 20},
    {"temperature": 1.0, "seed": 3, "repetition_penalty": 1.3, "max_tokens": 20},
    {"presence_penalty": 1.5, "frequency_penalty": 1.0, "max_tokens": 20},
    {"max_tokens": 2},
    {"messages": [{"role": "user", "content": "Say it in Greek, please!"}], "max_tokens": 90},
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("model", ["base", "red"])
def test_answers_equal_chats_and_streams_equal_whole_answers(api, model, settings):
    whole = of_whole(chat(api, model=model, **settings))
    assert joined(chat(api, model=model, stream=True, **settings)) == whole
    served = api.served.models[model]
    api.served.switch.use(served.adapter)  # as the engine does, which is idle now
    named = dict(settings)
    named["max_new_tokens"] = named.pop("max_tokens", 1000)
    messages = named.pop("messages", WHO)
    reply = served.chat.chat(messages, **named)
    assert (reply.text, reply.ended_by) == (whole[0], whole[2])


def test_models_are_known_by_name_and_no_other_answers(api, client):
    assert [model.id for model in client.models.list()] == ["base", "red", "blue"]
    assert client.models.retrieve("red").id == "red"
    said = {name: of_whole(chat(api, model=name, max_tokens=12))[0] for name in ("base", "red")}
    assert said["base"] == "A parrot."
    assert said["red"] != "A parrot."
    for name in ("green", "../base", "HuggingFaceTB/SmolLM2-135M"):
        with pytest.raises(openai.NotFoundError) as refused:
            client.chat.completions.create(model=name, messages=WHO)
        assert refused.value.code == "model_not_found"


def test_several_answers_have_seeds_one_after_another(api):
    settings = {"temperature": 1.5, "max_tokens": 8}
    several = chat(api, n=3, seed=5, **settings)
    assert [choice["index"] for choice in several["choices"]] == [0, 1, 2]
    single = [of_whole(chat(api, seed=5 + at, **settings))[0] for at in range(3)]
    assert [of_whole(several, at)[0] for at in range(3)] == single
    chunks = chat(api, n=3, seed=5, stream=True, **settings)
    assert [joined(chunks, at)[0] for at in range(3)] == single


def test_stop_strings_are_no_part_of_the_answer_and_may_span_tokens(api):
    for stop in ("rro", ["xyz", "rro"]):
        whole = chat(api, stop=stop)
        assert of_whole(whole) == ("A pa", [], "stop")
        assert joined(chat(api, stop=stop, stream=True)) == ("A pa", [], "stop")


def test_stop_tokens_end_an_answer(api):
    ids = api.served.models["base"].encode("A parrot.")
    whole = chat(api, stop_token_ids=[ids[-1]])
    assert of_whole(whole) == (api.served.models["base"].decode(ids[:-1]), [], "stop")


def test_log_probabilities_of_all_tokens_with_their_bytes(api):
    whole = strict(ChatCompletion, chat(api, logprobs=True, top_logprobs=3))
    tokens = whole.choices[0].logprobs.content
    assert bytes(byte for token in tokens for byte in token.bytes).decode() == "A parrot."
    for token in tokens:
        assert len(token.top_logprobs) == 3
        assert token.top_logprobs[0].logprob == token.logprob  # it was the likeliest
        assert -0.5 < token.logprob <= 0
    chunks = chat(api, logprobs=True, top_logprobs=3, stream=True)
    streamed = [
        each
        for chunk in chunks
        for each in (chunk["choices"][0]["logprobs"] or {"content": []})["content"]
    ]
    # streamed rows are read as the others are, to the last bit of a sum
    assert [each["token"] for each in streamed] == [token.token for token in tokens]
    greek = chat(api, "Say it in Greek, please!", logprobs=True)
    spelled = greek["choices"][0]["logprobs"]["content"]
    assert bytes(b for token in spelled for b in token["bytes"]).decode() == "Γεια σου 🦜 κόσμε"


@pytest.mark.parametrize("request_", WITH_TOOLS)
def test_calls_are_read_as_training_writes_them(api, request_):
    whole = chat(api, request_, tools=[TOOL])
    strict(ChatCompletion, whole)
    content, calls, reason = of_whole(whole)
    values = {"miles, please": [301], "two": [301, 7], "no call": []}[request_]
    assert calls == [
        {"name": "convert", "arguments": json.dumps({"value": value})} for value in values
    ]
    assert reason == ("tool_calls" if calls else "stop")
    assert (
        content == {"miles, please": "Let me see.", "two": "", "no call": "I can say it."}[request_]
    )
    message = whole["choices"][0]["message"]
    assert ("tool_calls" in message) == bool(calls)
    assert message["content"] == (content or None)
    chunks = chat(api, request_, tools=[TOOL], stream=True)
    for chunk in chunks:
        strict(ChatCompletionChunk, chunk)
    assert joined(chunks) == (content, calls, reason)
    one = of_whole(chat(api, request_, tools=[TOOL], parallel_tool_calls=False))
    assert one == (content, calls[:1], reason)
    served = api.served.models["base"]
    api.served.switch.use(None)
    reply = served.chat.chat([{"role": "user", "content": request_}], tools=[TOOL])
    assert reply.text == content
    assert [call["function"]["arguments"] for call in reply.message.get("tool_calls", [])] == [
        {"value": value} for value in values
    ]


def test_a_dialogue_with_calls_and_results_is_read(api):
    call = {"id": "abc", "type": "function"}
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "two"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{**call, "function": {"name": "convert", "arguments": '{"value": 1}'}}],
        },
        {"role": "tool", "tool_call_id": "abc", "content": "2"},
    ]
    body = {"messages": messages, "tools": [TOOL]}
    text = post(api, "/apply-template", body)["prompt"]
    assert "<|im_start|>system\nBe brief." in text
    assert '<tool_call>{"name": "convert", "arguments": {"value": 1}}' in text
    assert text.endswith("<|im_start|>assistant\n")
    assert (
        len(post(api, "/tokenize", body)["tokens"])
        == chat(api, max_tokens=1, **body)["usage"]["prompt_tokens"]
    )


def test_our_own_client_talks_to_it(api):
    settings = GenerationSettings(max_new_tokens=60)
    remote = RemoteModel(f"{api.url}/v1", "base", settings, key="")
    said = []
    assert remote.answer(WHO, [], said.append).text == "A parrot."
    assert "".join(said) == "A parrot."
    reply = remote.answer([{"role": "user", "content": "miles, please"}], [TOOL], said.append)
    assert reply.message["tool_calls"][0]["function"] == {
        "name": "convert",
        "arguments": {"value": 301},
    }


def test_openais_client_streams_and_reads_calls(client):
    with client.chat.completions.stream(
        model="base", messages=[{"role": "user", "content": "two"}], tools=[TOOL], temperature=0
    ) as stream:
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert [json.loads(call.function.arguments) for call in calls] == [{"value": 301}, {"value": 7}]
    assert len({call.id for call in calls}) == 2
