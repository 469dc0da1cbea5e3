"""Who may ask, how much, and for how long."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket

import openai
import pytest

from tests.serve.conftest import eventually, raw_request, serving
from tests.serve.test_chat_completions import WHO
from tests.serve.test_complaints import error_of
from xtune.serve import run as running
from xtune.serve.api.context import ApiContext
from xtune.serve.run import listen


def get(api, path, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=60)
    connection.request("GET", path, headers=headers or {})
    response = connection.getresponse()
    said = response.read().decode()
    connection.close()
    return response.status, said


def test_without_the_key_there_is_no_answer_and_with_it_there_is(talker):
    with serving(talker, keys=["first", "séc-ond"]) as api:
        for headers in ({}, {"Authorization": "Bearer firs"}, {"Authorization": "Basic first"}):
            status, said = get(api, "/v1/models", headers)
            assert status == 401
            assert json.loads(said)["error"]["code"] == "invalid_api_key"
        assert get(api, "/v1/models", {"Authorization": "Bearer first"})[0] == 200
        assert get(api, "/metrics")[0] == 401
        assert get(api, "/health")[0] == 200
        assert get(api, "/v1/models", {"Authorization": "Bearer first", "Host": "evil"})[0] == 200
        with pytest.raises(openai.AuthenticationError):
            api.client(api_key="wrong").models.list()
        assert api.client(api_key="first").models.list().data


def test_a_name_that_is_made_to_mean_this_machine_is_refused(api):
    for host in ("evil.example", "evil.example:80", ""):
        status, said = get(api, "/v1/models", {"Host": host})
        assert status == 403
        assert json.loads(said)["error"]["code"] == "wrong_host"
    for host in ("localhost:1", "127.0.0.1", "[::1]:8000"):
        assert get(api, "/v1/models", {"Host": host})[0] == 200


def test_a_full_queue_says_when_to_come_back(talker):
    with serving(talker, slots=1, waiting=0) as api:
        client = api.client()
        settings = {"model": "red", "messages": WHO, "temperature": 2, "stream": True}
        running_stream = client.chat.completions.create(seed=4, **settings)
        next(iter(running_stream))
        with pytest.raises(openai.RateLimitError) as refused:
            client.chat.completions.create(**settings)
        assert refused.value.code == "queue_full"
        assert int(refused.value.response.headers["Retry-After"]) >= 1
        running_stream.close()
        assert eventually(lambda: api.engine.counts()["rows_running"] == 0)
        # openai's client comes back by itself
        patient = api.client(max_retries=2)
        assert patient.chat.completions.create(model="base", messages=WHO, temperature=0)


def test_a_client_that_stays_is_answered_by_the_server_that_comes_after(talker):
    with serving(talker) as first:
        client = first.client(max_retries=2)
        assert client.chat.completions.create(model="base", messages=WHO, temperature=0)
    with pytest.raises(openai.APIConnectionError):  # its connection is still open, and is closed
        client.with_options(max_retries=0).models.list()
    with serving(talker, port=first.port) as second:
        assert second.port == first.port
        answer = client.chat.completions.create(model="base", messages=WHO, temperature=0)
        assert answer.choices[0].message.content == "A parrot."


def test_who_does_not_read_holds_nobody_up(talker):
    with serving(talker, slots=2, cached_tokens=20_000) as api:
        body = {"model": "red", "messages": WHO, "temperature": 2, "max_tokens": 600, "n": 2}
        said = json.dumps({**body, "stream": True, "logprobs": True, "top_logprobs": 20})
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(said)}\r\n\r\n"
        with raw_request(api.port, head + said):
            assert eventually(lambda: api.engine.counts().get("answer_tokens_total", 0) > 0, 60)
            answer = api.client().chat.completions.create(
                model="base", messages=WHO, temperature=0, timeout=60
            )
            assert answer.choices[0].message.content == "A parrot."
        assert eventually(lambda: api.engine.counts()["rows_running"] == 0)


def test_while_the_model_is_loaded_requests_are_told_to_wait(talker):
    with serving(talker) as api:
        api.context.served = None
        for path in ("/health", "/v1/models"):
            status, said = get(api, path)
            assert status == 503
            assert json.loads(said)["error"]["code"] == "not_ready"
        api.context.served = talker
        assert get(api, "/health") == (200, '{"status":"ok"}')


def test_bodies_prompts_and_times_are_bounded(talker):
    with serving(talker, context=ApiContext(body_bytes=20_000)) as api:
        body = {"model": "base", "messages": [{"role": "user", "content": "x" * 30_000}]}
        assert error_of(api, "/v1/chat/completions", body, 413)["code"] == "body_too_large"
        body["messages"][0]["content"] = "miles " * 2100
        error = error_of(api, "/v1/chat/completions", body, 400)
        assert error["code"] == "context_length_exceeded"
        tokens = [int(word) for word in error["message"].split() if word.isdigit()]
        assert len(tokens) == 1  # the other number ends with a comma
        assert tokens[0] > 2048
        assert "2048," in error["message"]
    with serving(talker, context=ApiContext(seconds=0.05)) as api:
        body = {"model": "red", "messages": WHO, "temperature": 2, "seed": 4}
        assert error_of(api, "/v1/chat/completions", body, 504)["code"] == "timeout"
        api.context.seconds = 0
        body = {"model": "base", "input": "x"}
        assert error_of(api, "/v1/embeddings", body, 504)["code"] == "timeout"
        assert eventually(lambda: api.engine.counts()["rows_running"] == 0)


def test_who_sends_no_whole_head_is_hung_up_on(api, monkeypatch):
    monkeypatch.setattr(running, "_HEAD_SECONDS", 0.1)
    with raw_request(api.port, "GET / HTTP/1.1\r\nHost: loc") as connection:
        assert connection.recv(100) == b""


def test_each_piece_of_an_answer_is_sent_at_once():
    """Else it waits for the client to acknowledge the last one: 40 ms, for each request too."""

    async def sends_at_once() -> bool:
        loop = asyncio.get_running_loop()
        found = loop.create_future()

        class Connected(asyncio.Protocol):
            def connection_made(self, transport):
                own = transport.get_extra_info("socket")
                found.set_result(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0)

        listening = listen("127.0.0.1", 0)
        async with await loop.create_server(Connected, sock=listening):
            with socket.create_connection(listening.getsockname()):
                return await asyncio.wait_for(found, 20)

    assert asyncio.run(sends_at_once())


@pytest.mark.parametrize(
    "garbage",
    [b"\x00" * 64, b"GET\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n", b"A" * 200_000, b"\r\n" * 99],
)
def test_garbage_is_answered_or_hung_up_on_and_the_next_client_served(api, garbage):
    with socket.create_connection(("127.0.0.1", api.port), timeout=30) as connection:
        try:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
            said = connection.recv(100)
        except OSError:  # hung up on before all was sent
            said = b""
    assert said == b"" or said.startswith(b"HTTP/1.1 4")
    assert get(api, "/health")[0] == 200


def test_messages_that_are_none_are_refused_by_name(api):
    image = [{"type": "image_url", "image_url": {"url": "data:"}}]
    for messages, said in (
        ([{"role": "user", "content": image}], "part of type 'image_url'; only text is read"),
        ([{"role": "usr", "content": "Hi"}], "did you mean 'user'"),
        ([], "no messages"),
        (["Hi"], "must be an object with a role"),
        ([*WHO, {"role": "assistant", "content": "A."}], "must end with what is to be answered"),
        ([{"role": "user", "content": 5}], "must be text"),
    ):
        error = error_of(api, "/v1/chat/completions", {"model": "base", "messages": messages}, 400)
        assert said in error["message"]
        assert error["param"] == "messages"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -1),
        ("temperature", "hot"),
        ("temperature", True),
        ("top_p", 0),
        ("n", 0),
        ("n", 1000),
        ("max_tokens", 0),
        ("max_tokens", 1.5),
        ("stop", [""]),
        ("stop", 5),
        ("stop", ["a"] * 17),
        ("presence_penalty", 3),
        ("seed", "x"),
        ("top_logprobs", 5),
        ("stream", "yes"),
        ("tools", [5]),
        ("decoder", "beam"),
        ("tools", {}),
    ],
)
def test_values_out_of_range_are_refused_by_name(api, field, value):
    body = {"model": "base", "messages": WHO, field: value}
    error = error_of(api, "/v1/chat/completions", body, 400)
    assert error["param"] == field
    assert error["type"] == "invalid_request_error"
