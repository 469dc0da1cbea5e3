"""Text completions, tokens, templates, metrics."""

from __future__ import annotations

import re

import openai
import pytest
from openai.types import Completion

from tests.serve.strict import strict
from tests.serve.test_chat_completions import WHO, chat, joined, post
from tests.serve.test_complaints import error_of
from tests.serve.test_guard import get

ASKED = "<|im_start|>user\nWho are you?<|im_end|>\n<|im_start|>assistant\n"


def complete(api, **fields):
    return post(api, "/v1/completions", {"model": "base", "temperature": 0, **fields})


def test_a_text_goes_on(api):
    whole = strict(Completion, complete(api, prompt=ASKED, max_tokens=40))
    assert [(c.text, c.finish_reason) for c in whole.choices] == [("A parrot.", "stop")]
    chunks = complete(api, prompt=ASKED, max_tokens=40, stream=True)
    assert "".join(c["choices"][0]["text"] for c in chunks) == "A parrot."
    assert [c["choices"][0]["finish_reason"] for c in chunks][-2:] == [None, "stop"]
    for chunk in chunks:
        assert set(chunk["choices"][0]) == {"index", "text", "finish_reason", "logprobs"}
        assert chunk["object"] == "text_completion"
    strict(Completion, chunks[-1])  # the type knows no null before the end, which OpenAI sends
    last = complete(
        api, prompt=ASKED, max_tokens=40, stream=True, stream_options={"include_usage": True}
    )[-1]
    # of a prompt that was answered before, as it was then: how much of it is known is told too
    again = complete(api, prompt=ASKED, max_tokens=40)
    assert (last["choices"], last["usage"]) == ([], again["usage"])


def test_several_prompts_as_texts_or_token_ids(api):
    ids = api.served.models["base"].encode(ASKED)
    for prompt in ([ASKED, ASKED], [ids, ids]):
        whole = complete(api, prompt=prompt, max_tokens=40)
        assert [(c["index"], c["text"]) for c in whole["choices"]] == [
            (0, "A parrot."),
            (1, "A parrot."),
        ]
    assert complete(api, prompt=ids, max_tokens=40)["choices"][0]["text"] == "A parrot."
    assert complete(api, prompt=ids)["usage"]["completion_tokens"] <= 16  # OpenAI's default
    for prompt in ("", [], [[]], [""], 5, [5.5], [True], [-1], [99_999]):
        error_of(api, "/v1/completions", {"model": "base", "prompt": prompt}, 400)


def test_a_prompt_that_fills_the_context_is_refused_by_the_name_of_its_field(api):
    for path, field in (("/v1/completions", "prompt"), ("/v1/embeddings", "input")):
        error = error_of(api, path, {"model": "base", field: [7] * 2048}, 400)
        assert (error["code"], error["param"]) == ("context_length_exceeded", field)


def test_log_probabilities_in_the_older_form(api):
    whole = strict(Completion, complete(api, prompt=ASKED, max_tokens=40, logprobs=2))
    found = whole.choices[0].logprobs
    assert "".join(found.tokens) == "A parrot."
    assert found.text_offset[0] == 0
    assert found.text_offset[-1] + len(found.tokens[-1]) == len("A parrot.")
    assert [max(tops.values()) for tops in found.top_logprobs] == found.token_logprobs


def test_templates_and_tokens_are_those_of_chat(api):
    text = post(api, "/apply-template", {"model": "base", "messages": WHO})["prompt"]
    assert text == ASKED
    tokens = post(api, "/tokenize", {"content": ASKED})
    assert tokens["tokens"] == api.served.models["base"].encode(ASKED)
    assert tokens == post(api, "/tokenize", {"messages": WHO})
    assert tokens["count"] == len(tokens["tokens"])
    error_of(api, "/tokenize", {}, 400)
    error_of(api, "/tokenize", {"content": "a", "messages": WHO}, 400)


def test_older_names_are_taken_with_a_notice(api):
    client = api.client()
    raw = client.chat.completions.with_raw_response.create(
        model="base",
        messages=WHO,
        temperature=0,
        extra_body={"max_length": 3, "decoder": "sample"},
    )
    assert raw.parse().usage.completion_tokens == 3
    assert "max_length is read as max_completion_tokens" in raw.headers["X-Xtune-Notice"]
    assert "decoder=sample" in raw.headers["X-Xtune-Notice"]
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="base", messages=WHO, extra_body={"decoder": "beam"})


def test_contrastive_search_by_its_older_name(api):
    settings = {"model": "red", "max_tokens": 16}
    plain = chat(api, **settings)["choices"][0]["message"]["content"]
    searched = chat(api, decoder="contrastive", **settings)["choices"][0]["message"]["content"]
    assert searched != plain
    by_name = chat(api, penalty_alpha=0.6, top_k=4, **settings)
    assert by_name["choices"][0]["message"]["content"] == searched
    chunks = chat(api, decoder="contrastive", stream=True, **settings)
    assert joined(chunks)[0] == searched
    only_one = chat(api, decoder="contrastive", top_k=1, **settings)
    assert only_one["choices"][0]["message"]["content"] == plain
    for wrong in ({"penalty_alpha": 2}, {"decoder": "contrastive", "top_k": 0}):
        error_of(api, "/v1/chat/completions", {"model": "red", "messages": WHO, **wrong}, 400)


def test_metrics_count(api):
    def count(name):
        text = get(api, "/metrics")[1]
        return float(re.search(rf"^xtune_{name} (\S+)$", text, re.M)[1])

    chat(api)
    before = count("answer_tokens_total")
    usage = chat(api)["usage"]
    assert count("answer_tokens_total") == before + usage["completion_tokens"]
    assert count("rows_running") == 0
    assert count('answers_ended_total{by="stop"}') >= 2
    assert "# TYPE xtune_answer_tokens_total counter" in get(api, "/metrics")[1]


def test_a_path_that_is_none_is_told_those_that_are(api):
    status, said = get(api, "/v1/chat")
    assert status == 404
    assert "POST /v1/chat/completions" in said
