"""What users of other servers complain of most, each shown not to happen here.

The numbers are those of the table in the facts that the server was built on.
"""

from __future__ import annotations

import http.client
import json
import subprocess

import openai
import pytest
from openai.types import CreateEmbeddingResponse

from tests.serve.conftest import CALL, TOOL, eventually, raw_request, serving
from tests.serve.strict import strict
from tests.serve.test_chat_completions import WHO, chat, joined, of_whole, post


def error_of(api, path, body, status, method="POST"):
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=60)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, data, {"Content-Type": "application/json"})
    response = connection.getresponse()
    said = json.loads(response.read())
    connection.close()
    assert response.status == status, said
    assert set(said) == {"error"}
    assert set(said["error"]) == {"message", "type", "param", "code"}
    return said["error"]


def test_1_no_usage_chunk_unless_it_is_asked_for(api):
    assert all(chunk["choices"] for chunk in chat(api, stream=True))


def test_2_each_delta_of_a_call_has_an_index_and_its_first_an_id(api):
    deltas = [
        call
        for chunk in chat(api, "two", tools=[TOOL], stream=True)
        for call in chunk["choices"][0]["delta"].get("tool_calls", ())
    ]
    assert [call["index"] for call in deltas] == [0, 0, 1, 1]
    assert [bool(call.get("id")) for call in deltas] == [True, False, True, False]


def test_3_and_4_the_finish_reason_is_null_in_each_chunk_and_set_in_the_last(api):
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chat(api, stream=True)]
    assert set(reasons[:-1]) == {None}
    assert reasons[-1] == "stop"


def test_5_the_role_comes_first_and_the_id_stays(api):
    chunks = chat(api, stream=True)
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert len({chunk["id"] for chunk in chunks}) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_6_and_7_a_call_that_the_limit_cuts_is_text_and_no_call(api, stream):
    settings = {"tools": [TOOL], "max_tokens": 30}
    whole = of_whole(chat(api, "miles, please", **settings))
    content, calls, reason = whole
    assert (calls, reason) == ([], "length")
    assert content.startswith("Let me see.\n<tool_call>")
    assert f"Let me see.\n{CALL}".startswith(content)
    assert "tool_calls" not in chat(api, "miles, please", **settings)["choices"][0]["message"]
    assert joined(chat(api, "miles, please", stream=True, **settings)) == whole


def test_8_the_finish_reason_of_a_call_is_the_same_streamed_or_not(api):
    assert of_whole(chat(api, "two", tools=[TOOL]))[2] == "tool_calls"
    assert joined(chat(api, "two", tools=[TOOL], stream=True))[2] == "tool_calls"


def test_9_streamed_arguments_are_whole_and_come_once(api):
    _, calls, _ = joined(chat(api, "two", tools=[TOOL], stream=True))
    assert [json.loads(call["arguments"]) for call in calls] == [{"value": 301}, {"value": 7}]


def test_10_a_stop_string_within_a_call_drops_no_text(api):
    settings = {"tools": [TOOL], "stop": ["301"]}
    whole = of_whole(chat(api, "miles, please", **settings))
    assert whole == (f"Let me see.\n{CALL.partition('301')[0]}", [], "stop")
    assert joined(chat(api, "miles, please", stream=True, **settings)) == whole


@pytest.mark.parametrize(
    ("path", "method", "body", "status", "code"),
    [
        ("/v1/nothing", "POST", {}, 404, "not_found"),
        ("/v1/chat/completions", "GET", {}, 405, "method_not_allowed"),
        ("/v1/chat/completions", "POST", b"{", 400, "invalid_json"),
        ("/v1/chat/completions", "POST", b'{"temperature": NaN}', 400, "invalid_json"),
        ("/v1/chat/completions", "POST", b"[" * 100_000, 400, "invalid_json"),
        ("/v1/chat/completions", "POST", b"\xff\xfe", 400, "invalid_json"),
        ("/v1/chat/completions", "POST", b"[]", 400, None),
        ("/v1/chat/completions", "POST", {}, 400, "missing_required_parameter"),
        ("/v1/chat/completions", "POST", {"model": "base"}, 400, "missing_required_parameter"),
        ("/v1/chat/completions", "POST", {"model": "x", "messages": WHO}, 404, "model_not_found"),
        ("/v1/models/x", "GET", {}, 404, "model_not_found"),
    ],
)
def test_11_every_refusal_has_the_one_form(api, path, method, body, status, code):
    assert error_of(api, path, body, status, method)["code"] == code


def test_12_an_error_within_a_stream_says_what_it_is_and_no_done_follows(api):
    def fail(module, args):
        if args[0].shape[1] == 1:  # not the prompt
            raise RuntimeError("a broken layer")

    hook = api.served.switch.llm.get_input_embeddings().register_forward_pre_hook(fail)
    try:
        body = {"model": "base", "messages": WHO, "stream": True}
        connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=60)
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        said = connection.getresponse().read().decode()
        with pytest.raises(openai.APIError, match="RuntimeError while answering"):
            list(api.client().chat.completions.create(**body))
    finally:
        hook.remove()
    last = said.strip().split("\n\n")[-1]
    error = json.loads(last.removeprefix("data: "))["error"]
    assert error["message"] == "RuntimeError while answering; the server's log has more"
    assert "[DONE]" not in said
    assert of_whole(chat(api))[0] == "A parrot."


def test_13_max_completion_tokens_is_the_limit_and_wins(api):
    settings = {"model": "red", "temperature": 1.0, "seed": 1, "logit_bias": {}}
    for limit in ({"max_completion_tokens": 5}, {"max_tokens": 5}, {"max_length": 5}):
        assert chat(api, **limit, **settings)["usage"]["completion_tokens"] == 5
    both = chat(api, max_completion_tokens=4, max_tokens=9, **settings)
    assert both["usage"]["completion_tokens"] == 4
    # none: to the end of the context, or the model's own
    assert chat(api, max_tokens=None, max_length=None)["usage"]["completion_tokens"] < 30


def test_14_what_has_no_effect_is_accepted_and_what_would_is_named(api):
    accepted = {
        "user": "me",
        "metadata": {"a": "b"},
        "store": False,
        "service_tier": "auto",
        "n": 1,
        "logit_bias": None,
        "tool_choice": "auto",
        "response_format": {"type": "text"},
        "modalities": ["text"],
        "stream_options": None,
        "presence_penalty": 0,
    }
    assert of_whole(chat(api, **accepted))[0] == "A parrot."
    refused = {
        "echo": True,
        "reasoning_effort": "high",
        "min_p": 0.1,
        "modalities": ["audio"],
        "functions": [{"name": "f"}],
        "audio": {"voice": "x"},
        "prediction": {"type": "content", "content": "x"},
    }
    for name, value in refused.items():
        body = {"model": "base", "messages": WHO, name: value}
        error = error_of(api, "/v1/chat/completions", body, 400)
        assert (error["param"], error["code"]) == (name, "unsupported_parameter")
        assert name in error["message"]
    error = error_of(
        api, "/v1/chat/completions", {"model": "base", "messages": WHO, "temprature": 1}, 400
    )
    assert "did you mean 'temperature'" in error["message"]


def test_15_embeddings_of_token_ids_and_in_base64(api, client):
    ids = api.served.models["base"].encode("Thank you")
    by_text = client.embeddings.create(model="base", input="Thank you")  # asks for base64
    by_ids = client.embeddings.create(model="base", input=[ids], encoding_format="float")
    assert by_text.data[0].embedding == pytest.approx(by_ids.data[0].embedding, abs=1e-6)
    assert sum(x * x for x in by_ids.data[0].embedding) == pytest.approx(1, abs=1e-4)
    plain = strict(
        CreateEmbeddingResponse,
        post(api, "/v1/embeddings", {"model": "red", "input": ["Thank you", "Paris"]}),
    )
    assert plain.usage.prompt_tokens == len(ids) + len(api.served.models["base"].encode("Paris"))
    assert plain.data[0].embedding != pytest.approx(by_ids.data[0].embedding, abs=1e-3)


def test_16_pages_of_named_origins_may_ask_and_no_others(talker):
    with serving(talker, origins=["https://chat.example"], keys=["k"]) as api:
        asked = "OPTIONS /v1/models HTTP/1.1\r\nHost: localhost\r\nOrigin: {}\r\n"
        asked += "Access-Control-Request-Headers: authorization,content-type\r\n\r\n"
        for origin, allowed in (("https://chat.example", True), ("https://evil.example", False)):
            with raw_request(api.port, asked.format(origin)) as connection:
                said = connection.recv(4000).decode().lower()
            assert said.startswith("http/1.1 204") == allowed
            assert (f"access-control-allow-origin: {origin}" in said) == allowed
            assert ("access-control-allow-headers: authorization" in said) == allowed


def test_18_an_adapter_is_not_switched_under_a_request_that_runs(api):
    alone = {m: of_whole(chat(api, model=m, max_tokens=40))[0] for m in ("base", "red", "blue")}
    import concurrent.futures

    with concurrent.futures.ThreadPoolExecutor(9) as pool:
        models = ["base", "red", "blue"] * 3
        said = list(pool.map(lambda m: of_whole(chat(api, model=m, max_tokens=40))[0], models))
    assert said == [alone[model] for model in models]


def test_19_the_checkpoints_own_sampling_is_not_taken_for_the_callers(api):
    config = api.served.switch.llm.generation_config
    config.temperature, config.top_k, config.do_sample = 0.01, 1, True
    settings = {"model": "red", "temperature": 1.5, "max_tokens": 12}
    try:
        said = {of_whole(chat(api, seed=seed, **settings))[0] for seed in range(4)}
    finally:
        config.temperature, config.top_k, config.do_sample = None, None, False
    assert len(said) == 4


def test_20_no_control_text_is_in_an_answer(api):
    for text in ("Who are you?", "Bye", "301 miles in km?"):
        assert "<|" not in of_whole(chat(api, text))[0]


def test_a_client_that_leaves_frees_its_row(api):
    for stream in (True, False):
        body = json.dumps(
            {"model": "red", "messages": WHO, "stream": stream, "temperature": 2, "seed": 4}
        )
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        left = api.engine.counts().get("answers_ended_total:interrupt", 0)
        connection = raw_request(api.port, head + body)
        assert eventually(lambda: api.engine.counts()["rows_running"] == 1)
        connection.close()
        assert eventually(lambda: api.engine.counts()["rows_running"] == 0)
        assert api.engine.counts()["answers_ended_total:interrupt"] == left + 1


def test_who_leaves_takes_part_in_no_more_than_the_pass_that_runs(talker):
    with serving(talker, cached_tokens=20_000) as api:
        after: dict[int, int] = {}

        def note(module, args):
            for group in api.engine._groups.values():
                for row in group._live:
                    if row is not None and row.answer.ended_by == "interrupt":
                        after[id(row)] = after.get(id(row), 0) + 1

        hook = talker.switch.llm.get_input_embeddings().register_forward_pre_hook(note)
        try:
            staying = api.client().chat.completions.create(
                model="red", messages=WHO, temperature=2, seed=4, max_tokens=400, stream=True
            )
            next(iter(staying))
            for number in range(6):
                leaving = api.client().chat.completions.create(
                    model="red", messages=WHO, temperature=2, seed=number, stream=True
                )
                next(iter(leaving))
                leaving.close()
                assert eventually(lambda: api.engine.counts()["rows_running"] <= 1)
            list(staying)
        finally:
            hook.remove()
    assert all(passes <= 1 for passes in after.values())
    assert api.engine.counts()["answers_ended_total:interrupt"] >= 5


def test_curl_reads_a_stream(api):
    said = subprocess.run(
        ["curl", "-sN", f"{api.url}/v1/chat/completions", "-H", "Content-Type: application/json"]
        + ["-d", json.dumps({"model": "base", "messages": WHO, "stream": True, "seed": 1})],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.startswith("data: {")
    assert said.endswith("data: [DONE]\n\n")
