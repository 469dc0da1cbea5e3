"""Histories and requests as clients really send them, each a complaint about another server."""

from __future__ import annotations

import pytest

from tests.serve.conftest import TOOL
from tests.serve.test_chat_completions import WHO, chat, of_whole, post
from tests.serve.test_complaints import error_of

CALL = {"id": "c1", "type": "function", "function": {"name": "convert", "arguments": "{}"}}


def rendered(api, messages, **fields):
    return post(api, "/apply-template", {"messages": messages, **fields})["prompt"]


def asked(*messages):
    return [{"role": "user", "content": "miles, please"}, *messages]


@pytest.mark.parametrize("empty", ["", None, []])
def test_an_empty_answer_in_the_history(api, empty):
    """vllm 21089: refused there, and OpenAI takes it."""
    messages = [*WHO, {"role": "assistant", "content": empty}, {"role": "user", "content": "Bye"}]
    assert "<|im_start|>user\nBye<|im_end|>" in rendered(api, messages)
    assert of_whole(chat(api, messages=messages, max_tokens=3))[2] in ("stop", "length")


@pytest.mark.parametrize("calls", [[], None])
def test_an_answer_whose_list_of_calls_is_empty(api, calls):
    """vllm 12937: an error within the template."""
    messages = [*WHO, {"role": "assistant", "content": "A parrot.", "tool_calls": calls}, *WHO]
    plain = [*WHO, {"role": "assistant", "content": "A parrot."}, *WHO]
    assert rendered(api, messages, tools=[TOOL]) == rendered(api, plain, tools=[TOOL])


@pytest.mark.parametrize("arguments", ["", "{}", None])
def test_a_call_without_arguments_in_the_history(api, arguments):
    """vllm 19419, open-webui 23778, bedrock-access-gateway 258: no JSON, session lost."""
    function = {"name": "convert", "arguments": arguments}
    call = {"role": "assistant", "content": None, "tool_calls": [{**CALL, "function": function}]}
    result = {"role": "tool", "tool_call_id": "c1", "content": "7"}
    text = rendered(api, asked(call, result), tools=[TOOL])
    assert '<tool_call>{"name": "convert", "arguments": {}}' in text


def test_a_call_whose_ids_are_null(api):
    """aichat 1296: llama-server answers 500."""
    call = {"role": "assistant", "content": "", "tool_calls": [{**CALL, "id": None}]}
    result = {"role": "tool", "tool_call_id": None, "content": "7"}
    assert '"name": "convert"' in rendered(api, asked(call, result), tools=[TOOL])


def test_an_answer_is_replayed_as_it_came(api, client):
    """copilot-sdk 2061, litellm 30835, vllm 10463: `refusal: null` and its like are refused."""
    first = client.chat.completions.create(model="base", messages=WHO, temperature=0)
    back = first.choices[0].message.model_dump()
    assert {"refusal", "annotations", "audio", "function_call", "tool_calls"} <= set(back)
    back["reasoning_content"] = "I am a bird."
    again = client.chat.completions.create(
        model="base", messages=[*WHO, back, {"role": "user", "content": "Bye"}], temperature=0
    )
    assert again.choices[0].finish_reason in ("stop", "length")
    assert "A parrot." in rendered(api, [*WHO, back, *WHO])


@pytest.mark.parametrize("choice", [None, "auto", "none"])
def test_no_tools_as_an_empty_list(api, choice):
    """fast-agent 781, litellm 31522, vllm 39780: clients send it always, and were refused."""
    whole = chat(api, tools=[], tool_choice=choice, parallel_tool_calls=True)
    assert of_whole(whole)[0] == "A parrot."
    assert whole["usage"]["prompt_tokens"] == chat(api)["usage"]["prompt_tokens"]


def test_contents_in_parts_wherever_they_stand(api):
    """chatbox 1352, rig 1362: only strings were read, of a system text or a tool's result."""

    def parts(text):
        return [{"type": "text", "text": text}]

    call = {"role": "assistant", "content": [], "tool_calls": [CALL]}
    in_parts = [
        {"role": "system", "content": parts("Be brief.")},
        {"role": "user", "content": parts("miles, please")},
        call,
        {"role": "tool", "tool_call_id": "c1", "content": parts("7 km")},
    ]
    plain = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "miles, please"},
        {**call, "content": None},
        {"role": "tool", "tool_call_id": "c1", "content": "7 km"},
    ]
    assert rendered(api, in_parts, tools=[TOOL]) == rendered(api, plain, tools=[TOOL])


def test_turns_need_not_alternate(api):
    """GenerativeAIExamples 113, mistral-vibe 454: 500 where two of one role follow each other."""
    messages = [*WHO, *WHO, {"role": "system", "content": "Be brief."}, *WHO]
    assert rendered(api, messages).count("Who are you?") == 3


@pytest.mark.parametrize("content", ["A par", [{"type": "text", "text": "A par"}]])
def test_an_answer_is_not_gone_on_with_and_says_so(api, content):
    """llama.cpp 14353: gone on with as a string, and not as parts. Here neither, and why."""
    messages = [*WHO, {"role": "assistant", "content": content}]
    body = {"model": "base", "messages": messages}
    error = error_of(api, "/v1/chat/completions", body, 400)
    assert "ends with a message of role 'assistant'" in error["message"]


def test_a_limit_of_minus_one_is_refused_with_what_to_do(api):
    """langchain 10822, llama-cpp-python 64: -1 means no limit at some servers."""
    body = {"model": "base", "messages": WHO, "max_tokens": -1}
    error = error_of(api, "/v1/chat/completions", body, 400)
    assert error["param"] == "max_tokens"
    assert "leave it out" in error["message"]
    assert of_whole(chat(api, max_tokens=None))[0] == "A parrot."  # llama-gpt 113


def test_switches_of_the_template_are_refused_by_name(api):
    """agentscope 1510: `enable_thinking` counts only where the server passes it on."""
    body = {"model": "base", "messages": WHO, "chat_template_kwargs": {"enable_thinking": False}}
    error = error_of(api, "/v1/chat/completions", body, 400)
    assert (error["param"], error["code"]) == ("chat_template_kwargs", "unsupported_parameter")


def test_the_first_piece_has_an_empty_text(api):
    """LlamaFactory 1795: a first delta without `content` broke programs."""
    assert chat(api, stream=True)[0]["choices"][0]["delta"]["content"] == ""


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions/", "/chat/completions", "/v1/v1/chat/completions"]
)
def test_a_base_url_that_is_nearly_right_is_told_the_right_one(api, path):
    """loom 25, meetily 310, and who forgets the /v1: 404 without a word why."""
    error = error_of(api, path, {"model": "base", "messages": WHO}, 404)
    assert "there is /v1/chat/completions: a client's base URL ends with /v1" in error["message"]
