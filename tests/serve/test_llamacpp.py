"""A GGUF file behind the same API, in llama.cpp; skipped where xllamacpp is not installed."""

from __future__ import annotations

import openai
import pytest

from tests.serve.conftest import eventually, serving
from tests.serve.strict import strict
from tests.serve.test_chat_completions import chat, joined, of_whole, post
from xtune.cli.entry import main
from xtune.models.gguf import resolve_alias
from xtune.serve.served import load_front
from xtune.serve.wanted import wanted_models

pytest.importorskip("xllamacpp")

ASKED = {"model": "smollm2", "max_tokens": 12}
TEXT = "What is the capital of France? One word."


@pytest.fixture(scope="module")
def gguf():
    from xtune.serve.engine.llamacpp import LlamaCppEngine

    served = load_front(wanted_models("smollm2", []))
    engine = LlamaCppEngine(served, resolve_alias("smollm2"), slots=4)
    with serving(served, engine=engine) as api:
        yield api


def test_it_answers_streams_and_counts(gguf):
    whole = chat(gguf, TEXT, **ASKED)
    strict(openai.types.chat.ChatCompletion, whole)
    content, _, reason = of_whole(whole)
    assert "Paris" in content
    assert "<|" not in content
    assert joined(chat(gguf, TEXT, stream=True, **ASKED))[0] == content
    assert reason == "stop"
    usage = whole["usage"]
    tokens = post(gguf, "/tokenize", {"messages": [{"role": "user", "content": TEXT}]})
    assert usage["prompt_tokens"] == tokens["count"]
    assert usage["completion_tokens"] <= 12
    cut = of_whole(chat(gguf, "Tell me a story.", model="smollm2", max_tokens=5))
    assert cut[2] == "length"
    stopped = of_whole(chat(gguf, TEXT, stop=["ari"], **ASKED))
    assert stopped[0] == content.partition("ari")[0]


def test_it_notes_probabilities_and_takes_seeds(gguf):
    noted = chat(gguf, TEXT, logprobs=True, top_logprobs=2, **ASKED)
    for token in noted["choices"][0]["logprobs"]["content"]:
        assert len(token["top_logprobs"]) == 2
        assert token["logprob"] <= 0
    settings = {"temperature": 1.0, **ASKED}
    said = [of_whole(chat(gguf, "Name a city.", seed=seed, **settings))[0] for seed in (1, 1, 2, 3)]
    assert said[0] == said[1]
    assert len(set(said)) > 1


def test_what_it_has_not_is_refused_and_who_leaves_frees_a_slot(gguf):
    client = gguf.client()
    asked = {"model": "smollm2", "messages": [{"role": "user", "content": "Tell me a story."}]}
    with pytest.raises(openai.BadRequestError, match="contrastive"):
        client.chat.completions.create(**asked, extra_body={"decoder": "contrastive"})
    with pytest.raises(openai.BadRequestError, match="no embeddings"):
        client.embeddings.create(model="smollm2", input="a")
    stream = client.chat.completions.create(**asked, stream=True, max_tokens=2000)
    next(iter(stream))
    stream.close()
    assert eventually(lambda: gguf.engine.counts()["rows_running"] == 0)


def test_only_gguf_files_and_no_adapters(capsys, parrot_folder):
    assert main(["serve", str(parrot_folder), "--engine", "llamacpp"]) == 2
    assert "reads .gguf files and smollm2" in capsys.readouterr().err
    assert main(["serve", "smollm2", "--engine", "llamacpp", "--dtype", "fp32"]) == 2
    assert "serves a file as it is" in capsys.readouterr().err
