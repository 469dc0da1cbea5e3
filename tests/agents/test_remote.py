"""A model behind a URL, against a small server that really listens."""

from __future__ import annotations

import json

import pytest

from tests.agents.scripted import Box
from tests.agents.server import call_piece, listening, stream
from xtune.agents.forms import NativeForm
from xtune.agents.react import ReAct
from xtune.agents.remote import RemoteModel
from xtune.errors import ModelError, UsageError
from xtune.generation.settings import GenerationSettings

SETTINGS = GenerationSettings(max_new_tokens=50, temperature=0.5, seed=3)


@pytest.fixture
def server():
    with listening() as server:
        yield server


def test_a_whole_conversation_with_calls(server):
    server.replies = [
        stream(
            {"role": "assistant", "content": "Both. "},
            call_piece(0, "", id="c1", type="function", name="add"),
            call_piece(0, '{"a": 1, '),
            call_piece(1, '{"text": "x"}', id="c2", name="shout"),
            call_piece(0, '"b": 2}'),
            reason="tool_calls",
        ),
        stream({"content": "It is "}, {"content": "3."}),
    ]
    box = Box()
    model = RemoteModel(server.url, "", SETTINGS, key="secret")
    agent = ReAct(model, box, NativeForm(box))
    outcome = agent.run([{"role": "user", "content": "1 + 2?"}])
    assert outcome.answer == "It is 3."
    assert box.called == [("add", {"a": 1, "b": 2}), ("shout", {"text": "x"})]
    (path, key, first), (_, _, second) = server.requests
    assert (path, key) == ("/v1/chat/completions", "Bearer secret")
    assert first == {
        "model": "big",
        "messages": [{"role": "user", "content": "1 + 2?"}],
        "stream": True,
        "max_tokens": 50,
        "temperature": 0.5,
        "top_p": 1.0,
        "seed": 3,
        "tools": box.schemas(),
    }
    assert second["messages"][1:] == [
        {
            "role": "assistant",
            "content": "Both. ",
            "tool_calls": [
                {
                    "type": "function",
                    "id": "c1",
                    "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'},
                },
                {
                    "type": "function",
                    "id": "c2",
                    "function": {"name": "shout", "arguments": '{"text": "x"}'},
                },
            ],
        },
        {"role": "tool", "content": "3", "tool_call_id": "c1"},
        {"role": "tool", "content": "X", "tool_call_id": "c2"},
    ]


def test_text_comes_piece_by_piece_and_a_cut_is_told(server):
    server.replies = [stream({"content": "It "}, {"content": "is"}, reason="length")]
    pieces = []
    reply = RemoteModel(server.url, "big", SETTINGS).answer(
        [{"role": "user", "content": "?"}], [], pieces.append
    )
    assert pieces == ["It ", "is"]
    assert (reply.message["content"], reply.ended_by) == ("It is", "length")
    assert "tools" not in server.requests[0][2]


def test_a_server_that_does_not_stream(server):
    message = {"role": "assistant", "content": "Hi."}
    whole = {"choices": [{"message": message, "finish_reason": "stop"}]}
    server.replies = [(200, "application/json", json.dumps(whole))]
    reply = RemoteModel(server.url, "big", SETTINGS).answer(
        [{"role": "user", "content": "?"}], [], lambda text: None
    )
    assert reply.message == message


def test_arguments_that_are_no_json_are_a_malformed_turn(server):
    server.replies = [stream(call_piece(0, "{a: 1}", id="c1", name="add"))]
    reply = RemoteModel(server.url, "big", SETTINGS).answer([], Box().schemas(), lambda text: None)
    assert "the arguments of add are no JSON" in reply.malformed
    assert "tool_calls" not in reply.message


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ((401, "text/plain", "who are you"), "answered 401 Unauthorized: who are you Set OPENAI"),
        ((200, "text/html", "<html>"), "answered with no chat completion"),
        ((200, "text/event-stream", "data: [1]\n\n"), "answered with no chat completion"),
        ((200, "text/event-stream", 'data: {"error": "full"}\n\n'), "full"),
    ],
)
def test_what_a_server_may_do_instead(server, reply, said):
    server.replies = [reply]
    with pytest.raises(ModelError, match=said):
        RemoteModel(server.url, "big", SETTINGS).answer([], [], lambda text: None)


def test_a_model_that_takes_its_limit_by_the_newer_name_alone(server):
    said = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    server.replies = [(400, "text/plain", said), stream({"content": "a"}), stream({"content": "b"})]
    model = RemoteModel(server.url, "big", SETTINGS)
    asked = [{"role": "user", "content": "?"}]
    assert [model.answer(asked, [], lambda text: None).text for _ in "ab"] == ["a", "b"]
    limits = [
        {k: v for k, v in body.items() if k.startswith("max")} for _, _, body in server.requests
    ]
    assert limits == [{"max_tokens": 50}, *[{"max_completion_tokens": 50}] * 2]


def test_no_server():
    with pytest.raises(ModelError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
        RemoteModel("http://127.0.0.1:9", "", SETTINGS)


def test_several_models_and_none_named(server):
    server.models = ["small", "big"]
    with pytest.raises(UsageError, match=r"has 2 models; name one: --served-model small\|big"):
        RemoteModel(server.url, "", SETTINGS)
