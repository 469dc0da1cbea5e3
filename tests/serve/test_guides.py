"""Answers that must be JSON or a call are, whatever the model would rather say."""

from __future__ import annotations

import importlib
import json

import pytest

from tests.serve.conftest import TOOL
from tests.serve.test_chat_completions import WHO, chat, joined, of_whole
from tests.serve.test_complaints import error_of

SCHEMA = {
    "type": "object",
    "properties": {
        "colour": {"enum": ["red", "blue"]},
        "count": {"type": "integer", "minimum": 0, "maximum": 9},
    },
    "required": ["colour", "count"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "it", "schema": SCHEMA, "strict": True}}


@pytest.mark.parametrize("model", ["base", "red"])
def test_an_answer_follows_a_schema(api, model):
    for seed in range(3):
        settings = {"model": model, "temperature": 1.0, "seed": seed, "response_format": FORMAT}
        content, _, reason = of_whole(chat(api, **settings))
        assert reason == "stop"
        answer = json.loads(content)
        assert set(answer) == {"colour", "count"}
        assert answer["colour"] in ("red", "blue")
        assert answer["count"] in range(10)
        assert joined(chat(api, stream=True, **settings))[0] == content


def test_an_answer_is_an_object(api):
    content, _, reason = of_whole(
        chat(api, response_format={"type": "json_object"}, max_tokens=300, temperature=0.7, seed=1)
    )
    assert content.lstrip().startswith("{")
    assert reason in ("stop", "length")
    if reason == "stop":
        assert isinstance(json.loads(content), dict)


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "convert"}}]
)
def test_a_call_that_is_asked_for_comes_in_the_models_own_form(api, choice):
    settings = {"tools": [TOOL], "tool_choice": choice, "max_tokens": 200}
    content, calls, reason = of_whole(chat(api, "no call", **settings))
    assert (content, reason) == ("", "tool_calls")
    (call,) = calls
    assert call["name"] == "convert"
    assert isinstance(json.loads(call["arguments"]), dict)
    assert joined(chat(api, "no call", stream=True, **settings)) == (content, calls, reason)


def test_tools_that_may_not_be_called_are_not_shown(api):
    whole = chat(api, "Who are you?", tools=[TOOL], tool_choice="none")
    assert of_whole(whole)[0] == "A parrot."
    assert whole["usage"]["prompt_tokens"] == chat(api)["usage"]["prompt_tokens"]


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({"response_format": {"type": "xml"}}, "response_format.type", "allowed: text"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
            "response_format.json_schema.schema",
            "is missing",
        ),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"schema": {"type": "strange"}},
                }
            },
            "response_format",
            "cannot be followed",
        ),
        ({"tools": [TOOL], "tool_choice": "always"}, "tool_choice", "allowed: auto"),
        (
            {
                "tools": [TOOL],
                "tool_choice": {"type": "function", "function": {"name": "other"}},
            },
            "tool_choice",
            "there is no tool 'other'",
        ),
        ({"tool_choice": "required"}, "tool_choice", "there are no tools"),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name(api, fields, param, said):
    body = {"model": "base", "messages": WHO, **fields}
    error = error_of(api, "/v1/chat/completions", body, 400)
    assert error["param"] == param
    assert said in error["message"]


def test_without_the_extra_it_is_named(api, monkeypatch):
    real = importlib.import_module

    def lacking(name, *rest):
        if name == "llguidance":
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr("xtune.serve.guides.importlib.import_module", lacking)
    body = {"model": "base", "messages": WHO, "response_format": {"type": "json_object"}}
    error = error_of(api, "/v1/chat/completions", body, 400)
    assert "pip install 'xtune[json]'" in error["message"]
    assert error["param"] == "response_format"
