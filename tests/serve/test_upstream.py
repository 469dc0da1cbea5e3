"""Another server answers, behind our template, names and limits; here it is one of ours."""

from __future__ import annotations

import openai
import pytest

from tests.serve.conftest import TOOL, serving
from tests.serve.test_chat_completions import WHO, chat, joined, of_whole
from tests.serve.test_complaints import error_of
from xtune.cli.entry import main
from xtune.errors import UsageError
from xtune.serve.engine.upstream import UpstreamEngine
from xtune.serve.served import load_front
from xtune.serve.wanted import wanted_models


@pytest.fixture(scope="module")
def front(api, talker_folder):
    served = load_front(
        wanted_models(str(talker_folder / "base"), [f"red={talker_folder / 'red'}"])
    )
    assert served.switch.llm.device.type == "meta"  # no weights are here
    with serving(served, engine=UpstreamEngine(served, f"{api.url}/v1", "")) as front:
        yield front


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"model": "red", "max_tokens": 20, "temperature": 1.2, "seed": 5},
        {"model": "red", "max_tokens": 20, "top_k": 3, "temperature": 1.2, "seed": 5},
        {"stop": ["rro"]},
        {"max_tokens": 3},
        {"n": 2, "max_tokens": 5, "temperature": 1.5, "seed": 1},
    ],
)
def test_answers_are_those_of_the_server_behind(api, front, settings):
    expected = chat(api, **settings)
    got = chat(front, **settings)
    for index in range(settings.get("n", 1)):
        assert of_whole(got, index) == of_whole(expected, index)
    assert joined(chat(front, stream=True, **settings)) == of_whole(expected)
    assert got["usage"]["completion_tokens"] == expected["usage"]["completion_tokens"]


def test_calls_are_read_here(api, front):
    expected = of_whole(chat(api, "two", tools=[TOOL]))
    assert of_whole(chat(front, "two", tools=[TOOL])) == expected
    assert joined(chat(front, "two", tools=[TOOL], stream=True)) == expected
    assert expected[2] == "tool_calls"


def test_embeddings_are_passed_on(api, front):
    given = {"model": "red", "input": "Paris", "encoding_format": "float"}
    ours, behind = (each.client().embeddings.create(**given) for each in (front, api))
    assert ours.data[0].embedding == behind.data[0].embedding


def test_what_is_not_passed_on_is_refused_and_failures_are_told(front, talker_folder, api):
    body = {"model": "base", "messages": WHO, "logprobs": True}
    assert "not passed on" in error_of(front, "/v1/chat/completions", body, 400)["message"]
    hook = api.served.switch.llm.get_input_embeddings().register_forward_pre_hook(
        lambda module, args: 1 / 0
    )
    try:
        with pytest.raises(openai.InternalServerError, match="ZeroDivisionError"):
            front.client().chat.completions.create(model="base", messages=WHO)
    finally:
        hook.remove()
    assert of_whole(chat(front))[0] == "A parrot."
    served = load_front(wanted_models(str(talker_folder / "base"), [f"x={talker_folder / 'red'}"]))
    with pytest.raises(UsageError, match="has no model 'x'; it has: base, red, blue"):
        UpstreamEngine(served, f"{api.url}/v1", "")


def test_misuse(capsys, parrot_folder):
    assert main(["serve", str(parrot_folder), "--upstream", "localhost"]) == 2
    assert "give a URL" in capsys.readouterr().err
    assert main(["serve", str(parrot_folder), "--upstream", "http://x", "--bits", "4"]) == 2
    assert "the other server has the weights" in capsys.readouterr().err
