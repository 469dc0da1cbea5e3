"""LangChain's own classes against our server: what its users write is what runs here."""

from __future__ import annotations

import asyncio
import json

import pytest

pytest.importorskip("langchain_openai", reason="needs pip install '.[dev]'; make test does it")

import tiktoken
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, Field

from tests.serve.conftest import CALL, TOOL
from tests.serve.test_chat_completions import post


class Painted(BaseModel):
    """What was painted."""

    colour: str = Field(pattern="^(red|blue)$")
    count: int = Field(ge=0, le=9)


@tool
def convert(value: float) -> str:
    """?"""
    return f"{value * 1.609344:g}"


@pytest.fixture
def model(api):
    def of(name="base", **settings):
        settings = {"temperature": 0, "max_retries": 0, **settings}
        return ChatOpenAI(model=name, base_url=f"{api.url}/v1", api_key="none", **settings)

    return of


@pytest.fixture
def embeds(api):
    def of(**settings):
        settings = {"max_retries": 0, **settings}
        return OpenAIEmbeddings(model="base", base_url=f"{api.url}/v1", api_key="none", **settings)

    return of


def test_answers_are_whole_with_their_end_and_their_tokens(model):
    said = model().invoke("Who are you?")
    assert said.content == "A parrot."
    assert said.response_metadata["finish_reason"] == "stop"
    assert said.response_metadata["model_name"] == "base"
    usage = said.usage_metadata
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0
    cut = model(max_tokens=2).invoke("Who are you?")  # sent as max_completion_tokens
    assert cut.response_metadata["finish_reason"] == "length"
    assert cut.usage_metadata["output_tokens"] == 2
    assert model(stop=["rro"]).invoke("Who are you?").content == "A pa"
    sure = model(logprobs=True, top_logprobs=2).invoke("Bye")
    assert "".join(t["token"] for t in sure.response_metadata["logprobs"]["content"]) == "Bye!"


def test_streams_and_batches_say_the_same(model):
    chunks = list(model(stream_usage=True).stream("Who are you?"))
    assert "".join(chunk.content for chunk in chunks) == "A parrot."
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert whole.response_metadata["finish_reason"] == "stop"
    assert whole.usage_metadata == model().invoke("Who are you?").usage_metadata

    async def gather():
        pieces = [chunk.content async for chunk in model().astream("Who are you?")]
        many = await model().abatch(["Bye", "Who are you?"])
        return "".join(pieces), [each.content for each in many]

    assert asyncio.run(gather()) == ("A parrot.", ["Bye!", "A parrot."])
    asked = ["Who are you?", "Bye", "no call"] * 3
    said = ["A parrot.", "Bye!", model().invoke("no call").content] * 3
    assert [each.content for each in model().batch(asked)] == said


def test_a_tool_is_called_and_its_result_is_read(model, api):
    asks = model().bind_tools([TOOL])  # as the parrot was taught; `convert` has a schema of its own
    said = asks.invoke("miles, please")
    (call,) = said.tool_calls
    assert (call["name"], call["args"], call["type"]) == ("convert", {"value": 301}, "tool_call")
    assert said.content == "Let me see."
    assert said.response_metadata["finish_reason"] == "tool_calls"
    streamed = None
    for chunk in asks.stream("two"):
        streamed = chunk if streamed is None else streamed + chunk
    assert [each["args"] for each in streamed.tool_calls] == [{"value": 301}, {"value": 7}]

    result = convert.invoke(call)
    assert isinstance(result, ToolMessage)
    after = asks.invoke([HumanMessage("miles, please"), said, result])
    read = after.usage_metadata["input_tokens"]
    # what LangChain sends is what OpenAI's form says: the template sees call and result
    body = {
        "messages": [
            {"role": "user", "content": "miles, please"},
            {
                "role": "assistant",
                "content": "Let me see.",
                "tool_calls": [
                    {
                        "id": call["id"],
                        "type": "function",
                        "function": {"name": "convert", "arguments": '{"value": 301}'},
                    }
                ],
            },
            {"role": "tool", "content": "484.413", "tool_call_id": call["id"]},
        ],
        "tools": asks.kwargs["tools"],
    }
    assert read == post(api, "/tokenize", body)["count"]
    text = post(api, "/apply-template", body)["prompt"]
    assert CALL in text
    assert "484.413" in text


@pytest.mark.parametrize("choice", ["any", "convert"])
def test_a_call_can_be_demanded(model, choice):
    said = model(max_tokens=200).bind_tools([convert], tool_choice=choice).invoke("no call")
    assert [call["name"] for call in said.tool_calls] == ["convert"]


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_an_answer_has_the_form_of_a_class(model, method):
    asks = model("red", seed=3, max_tokens=300).with_structured_output(
        Painted if method != "json_mode" else None, method=method, include_raw=True
    )
    said = asks.invoke("Who are you?")
    if method == "json_mode":
        content = said["raw"].content
        assert content.lstrip().startswith("{")
    else:
        assert said["parsing_error"] is None, said["raw"]
        assert said["parsed"].colour in ("red", "blue")
        assert said["parsed"].count in range(10)
    if method == "json_schema":
        whole = Painted.model_validate_json(said["raw"].content)
        assert whole == said["parsed"]
        streamed = list(model("red", seed=3).with_structured_output(Painted).stream("Who are you?"))
        assert streamed[-1] == whole


def test_the_responses_api_is_the_same_model(model):
    asks = model(use_responses_api=True)
    assert asks.invoke("Who are you?").text == "A parrot."
    assert "".join(chunk.text for chunk in asks.stream("Who are you?")) == "A parrot."
    (call,) = asks.bind_tools([convert]).invoke("miles, please").tool_calls
    assert (call["name"], call["args"]) == ("convert", {"value": 301})


def test_errors_reach_the_program_as_openais(model):
    import openai

    with pytest.raises(openai.NotFoundError, match="no model 'green'; there are: base") as refused:
        model("green").invoke("Who are you?")
    assert refused.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="reasoning_effort"):
        model(reasoning_effort="high").invoke("Who are you?")


def unit(vector):
    return pytest.approx(vector, abs=1e-6)


def test_embeddings_of_texts_equal_the_servers(embeds, api):
    texts = ["Thank you", "Paris", "Thank you"]
    given = post(api, "/v1/embeddings", {"model": "base", "input": texts})["data"]
    expected = [each["embedding"] for each in given]
    plain = embeds(check_embedding_ctx_length=False)  # texts, in base64
    found = plain.embed_documents(texts)
    assert found == [unit(each) for each in expected]
    assert found[0] == found[2] != found[1]
    assert plain.embed_query("Paris") == unit(expected[1])
    assert asyncio.run(plain.aembed_query("Paris")) == unit(expected[1])
    one_by_one = embeds(check_embedding_ctx_length=False, chunk_size=1)
    assert one_by_one.embed_documents(texts) == [unit(each) for each in expected]


def test_long_texts_are_cut_by_the_models_own_tokens(embeds, talker_folder):
    """Without tiktoken LangChain cuts by a tokenizer's folder, and sends texts."""
    own = embeds(
        tiktoken_enabled=False,
        tiktoken_model_name=str(talker_folder / "base"),
        embedding_ctx_length=200,
    )
    plain = embeds(check_embedding_ctx_length=False)
    assert own.embed_query("Thank you") == unit(plain.embed_query("Thank you"))
    long = own.embed_query("Thank you! " * 1000)  # more than the context
    assert sum(x * x for x in long) == pytest.approx(1, abs=1e-4)


def test_the_default_sends_token_ids_which_must_be_the_models(embeds, talker_folder, monkeypatch):
    """Its default counts by OpenAI's tokenizer, fetched from the network; here by the model's."""
    described = json.loads((talker_folder / "base/tokenizer.json").read_text("utf-8"))
    special = {each["content"]: each["id"] for each in described["added_tokens"]}
    letters = bytes_of_letters()
    ranks = {
        bytes(letters[letter] for letter in token): at
        for token, at in described["model"]["vocab"].items()
        if token not in special
    }
    own = tiktoken.Encoding(
        "cl100k_base",
        pat_str=r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        mergeable_ranks=ranks,
        special_tokens=special,
    )
    monkeypatch.setitem(tiktoken.registry.ENCODINGS, "cl100k_base", own)
    texts = ["Thank you", "What is the capital of Norway?"]
    plain = embeds(check_embedding_ctx_length=False)
    assert embeds().embed_documents(texts) == [unit(e) for e in plain.embed_documents(texts)]


def test_ids_of_another_tokenizer_are_refused_with_what_to_set(api, embeds):
    """OpenAI's has 100,000 tokens, so that most texts have one that a small model has not."""
    import openai

    with pytest.raises(openai.BadRequestError) as refused:
        embeds(check_embedding_ctx_length=False).client.create(model="base", input=[[5, 99_000]])
    assert "token id 99000" in str(refused.value)
    assert "check_embedding_ctx_length=False" in str(refused.value)


def bytes_of_letters():
    """GPT-2's table: the letter that stands for each byte in a byte-level vocabulary."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {chr(byte): byte for byte in plain}
    others = [byte for byte in range(256) if byte not in plain]
    return letters | {chr(256 + at): byte for at, byte in enumerate(others)}
