"""Text completions, tokens, templates, metrics."""

from __future__ import annotations

import re

import openai
import pytest
import torch
from openai.types import Completion

from tests.serve.conftest import serving
from tests.serve.strict import strict
from tests.serve.test_chat_completions import WHO, chat, joined, post
from tests.serve.test_complaints import error_of
from tests.serve.test_guard import get

ASKED = "<|im_start|>user\nWho are you?<|im_end|>\n<|im_start|>assistant\n"


def complete(api, **fields):
    return post(api, "/v1/completions", {"model": "base", "temperature": 0, **fields})


def test_a_text_goes_on(api):
    complete(api, prompt=ASKED)  # from here on the prompt is known
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


@pytest.fixture(scope="module")
def prompt_numbers(api):
    """How likely the tokens of a prompt are, by transformers: [T - 1, V]."""
    ids = api.served.models["base"].encode(ASKED)
    llm = api.served.switch.llm
    with torch.no_grad(), llm.disable_adapter():
        logits = llm(input_ids=torch.tensor([ids]), use_cache=False).logits[0, :-1]
    return ids, logits.float().log_softmax(-1)


def test_an_echoed_prompt_with_how_likely_it_was(api, client, prompt_numbers):
    ids, shares = prompt_numbers
    expected = shares[torch.arange(len(ids) - 1), torch.tensor(ids[1:])].tolist()
    settings = {"model": "base", "temperature": 0, "echo": True, "logprobs": 2}
    for prompt in (ASKED, ids):
        found = client.completions.create(prompt=prompt, max_tokens=0, **settings)
        (choice,) = found.choices
        assert (choice.text, choice.finish_reason) == (ASKED, "length")
        numbers = choice.logprobs
        assert "".join(numbers.tokens) == ASKED
        assert numbers.token_logprobs[0] is None
        assert numbers.top_logprobs[0] is None
        assert numbers.token_logprobs[1:] == pytest.approx(expected, abs=1e-4)
        for tops, row in zip(numbers.top_logprobs[1:], shares, strict=True):
            best = sorted(row.topk(2).values.tolist())
            assert sorted(tops.values()) == pytest.approx(best, abs=1e-4)
        for at, text in zip(numbers.text_offset, numbers.tokens, strict=True):
            assert ASKED[at:].startswith(text)
        assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (len(ids), 0)
    both = client.completions.create(prompt=ASKED, max_tokens=40, **settings).choices[0]
    assert both.text == ASKED + "A parrot."
    assert "".join(both.logprobs.tokens) == both.text + "<|im_end|>"  # harnesses count it
    assert both.logprobs.token_logprobs[: len(ids)] == numbers.token_logprobs
    assert both.logprobs.text_offset[len(ids)] == len(ASKED)
    alone = client.completions.create(prompt=ASKED, max_tokens=40, **{**settings, "echo": False})
    answered = both.logprobs.token_logprobs[len(ids) : -1]
    assert answered == pytest.approx(alone.choices[0].logprobs.token_logprobs, abs=1e-4)


def test_an_echo_in_pieces_next_to_others_and_in_a_stream(api, talker, prompt_numbers):
    ids, _ = prompt_numbers
    settings = {"echo": True, "logprobs": 1, "max_tokens": 3, "n": 2}
    expected = complete(api, prompt=[ids, ids[:7]], **settings)["choices"]
    assert [choice["logprobs"]["token_logprobs"][0] for choice in expected] == [None] * 4
    with serving(talker, prompt_tokens=4, slots=3) as narrow:
        said = complete(narrow, prompt=[ids, ids[:7]], **settings)["choices"]
    for one, other in zip(said, expected, strict=True):
        assert one["text"] == other["text"]
        assert one["logprobs"]["tokens"] == other["logprobs"]["tokens"]
        numbers = [each["logprobs"]["token_logprobs"][1:] for each in (one, other)]
        assert numbers[0] == pytest.approx(numbers[1], abs=1e-4)
    chunks = complete(api, prompt=[ids, ids[:7]], stream=True, **settings)
    for index, choice in enumerate(expected):
        own = [each for chunk in chunks for each in chunk["choices"] if each["index"] == index]
        assert "".join(each["text"] for each in own) == choice["text"]
        tokens = [token for each in own for token in (each["logprobs"] or {"tokens": []})["tokens"]]
        assert tokens == choice["logprobs"]["tokens"]


def test_an_echo_without_numbers_and_an_answer_of_no_token(api):
    first, second = complete(api, prompt=[ASKED, "Hi"], echo=True, max_tokens=40)["choices"]
    assert first["text"] == ASKED + "A parrot."
    assert second["text"].startswith("Hi")
    assert first["logprobs"] is None
    (one,) = complete(api, prompt=[[7]], echo=True, logprobs=1, max_tokens=0)["choices"]
    assert one["text"] == api.served.models["base"].decode([7])
    assert one["logprobs"]["token_logprobs"] == [None]
    nothing = complete(api, prompt=ASKED, max_tokens=0)
    assert nothing["choices"][0]["text"] == ""
    assert nothing["usage"]["completion_tokens"] == 0
    body = {"model": "base", "prompt": ASKED, "echo": True, "logprobs": 1, "penalty_alpha": 0.6}
    assert "without logit_bias and echo" in error_of(api, "/v1/completions", body, 400)["message"]


def test_a_bias_bans_a_token_and_forces_another(api, client):
    model = api.served.models["base"]
    first, other = model.encode("A parrot.")[0], model.encode("I can")[0]

    def by_chat(bias):
        answer = client.chat.completions.create(
            model="base", messages=WHO, temperature=0, max_tokens=12, logit_bias=bias
        )
        return answer.choices[0].message.content

    def by_text(bias):
        answer = client.completions.create(
            model="base", prompt=ASKED, temperature=0, max_tokens=12, logit_bias=bias
        )
        return answer.choices[0].text

    for text in (by_chat, by_text):
        assert text({}) == "A parrot."
        assert not text({str(first): -100}).startswith("A parrot.")
        assert text({str(other): 100}).startswith(model.decode([other]) * 3)


@pytest.mark.parametrize(
    "bias", [{"x": 1}, {"-1": 1}, {"99999": 1}, {"5": 101}, {"5": True}, {"5": "1"}, [5], {"٣": 1}]
)
def test_a_bias_that_is_none_is_refused(api, bias):
    for path, body in (
        ("/v1/chat/completions", {"messages": WHO}),
        ("/v1/completions", {"prompt": "a"}),
    ):
        error = error_of(api, path, {"model": "base", "logit_bias": bias, **body}, 400)
        assert error["param"] == "logit_bias"


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
