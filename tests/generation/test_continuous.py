"""Rows that join and leave get the answers that they would get alone."""

from __future__ import annotations

import json
import random

import pytest
import torch
from peft import LoraConfig

from tests.forked import run_ranks
from tests.generation import two_ranks
from tests.tiny import write_tiny_llama, write_tiny_model
from xtune.errors import UsageError
from xtune.generation.answer import Answer
from xtune.generation.continuous import generate_texts
from xtune.generation.requests import GenerationRequest, Text
from xtune.generation.row_cache import rows_may_join
from xtune.models import attach_adapter, generation_mode, load_model, load_tokenizer

SHOTS = tuple(range(10, 40))
FAMILIES = {
    "llama": {},
    "mistral": {"sliding_window": 8},
    "gemma2": {"sliding_window": 8},
    "gemma3_text": {"sliding_window": 8},
    "qwen3": {},
}


@pytest.fixture(scope="module")
def babbler(tmp_path_factory):
    folder = str(write_tiny_llama(tmp_path_factory.mktemp("babbler"), max_position_embeddings=256))
    return load_model(folder, dtype="fp32"), load_tokenizer(folder)


def asked(count: int = 9) -> list[GenerationRequest]:
    """Prompts of 1 to 60 tokens, some of which begin alike, for answers of 1 to 24."""
    dice = random.Random(0)
    requests = []
    for number in range(count):
        own = tuple(dice.choices(range(3, 380), k=dice.randint(1, 30)))
        shots = SHOTS if number % 3 else ()
        requests.append(GenerationRequest(shots + own, max_new_tokens=dice.randint(1, 24)))
    return requests


def by_transformers(llm, tokenizer, request: GenerationRequest) -> Text:
    """Alone, greedily, by code that is not ours."""
    with generation_mode(llm):
        ids = llm.generate(
            torch.tensor([request.prompt]),
            max_new_tokens=request.max_new_tokens,
            do_sample=False,
            use_cache=True,
            pad_token_id=0,
        )[0, len(request.prompt) :].tolist()
    answer = Answer(tokenizer, stop_ids=[tokenizer.eos_token_id])
    for token in ids:
        answer.push(token)
    answer.finish()
    return Text(answer.text, answer.ended_by, len(ids))


@pytest.mark.parametrize("slots", [1, 2, 4, 32])
def test_each_answer_is_the_one_that_the_prompt_gets_alone(babbler, slots):
    texts = generate_texts(*babbler, asked(), slots=slots)
    assert texts == [by_transformers(*babbler, request) for request in asked()]
    assert len({text.text for text in texts}) == len(texts)


@pytest.mark.parametrize("family", FAMILIES)
def test_families_whose_caches_rows_join(tmp_path, family):
    folder = str(write_tiny_model(tmp_path, family, **FAMILIES[family]))
    llm, tokenizer = load_model(folder, dtype="fp32"), load_tokenizer(folder)
    assert rows_may_join(llm, 100)
    texts = generate_texts(llm, tokenizer, asked(), slots=3)
    assert texts == [by_transformers(llm, tokenizer, request) for request in asked()]


STATES = {"layer_types": ["conv", "full_attention"], "block_ff_dim": 64}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0] * 4,
    "long_factor": [4.0, 3.0, 2.0, 1.5],
    "factor": 8.0,
    "original_max_position_embeddings": 32,
}


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("lfm2", STATES),
        ("llama", {"rope_parameters": LONGROPE}),
    ],
)
def test_families_with_more_than_keys_and_values_answer_as_before(tmp_path, family, settings):
    folder = str(write_tiny_model(tmp_path, family, **settings))
    llm, tokenizer = load_model(folder, dtype="fp32"), load_tokenizer(folder)
    assert not rows_may_join(llm, 100)
    texts = generate_texts(llm, tokenizer, asked(), slots=3)
    assert texts == [by_transformers(llm, tokenizer, request) for request in asked()]


def test_an_adapter_answers_as_itself(tmp_path):
    folder = str(write_tiny_llama(tmp_path))
    tokenizer = load_tokenizer(folder)
    bare = generate_texts(load_model(folder, dtype="fp32"), tokenizer, asked())
    llm = attach_adapter(load_model(folder, dtype="fp32"), LoraConfig(r=4, task_type="CAUSAL_LM"))
    with torch.no_grad():
        for name, weight in llm.named_parameters():
            if "lora_B" in name:
                weight.normal_(generator=torch.Generator().manual_seed(0))
    texts = generate_texts(llm, tokenizer, asked(), slots=3)
    assert texts == [by_transformers(llm, tokenizer, request) for request in asked()]
    assert texts != bare


def passes_of(babbler, requests, slots):
    """The shape [rows, tokens] of each pass."""
    llm, tokenizer = babbler
    shapes = []
    hook = llm.get_input_embeddings().register_forward_pre_hook(
        lambda module, args: shapes.append(tuple(args[0].shape))
    )
    try:
        generate_texts(llm, tokenizer, requests, slots=slots)
    finally:
        hook.remove()
    return shapes


def test_a_row_that_ends_makes_room_for_the_next_prompt(babbler):
    lengths = {3: 2, 4: 4, 5: 2}  # of the answers to the prompts (3, 3), (4, 4), (5, 5)
    requests = [GenerationRequest((at, at), max_new_tokens=most) for at, most in lengths.items()]
    assert passes_of(babbler, requests, slots=2) == [
        (2, 2),  # prompts 3 and 4, and their first tokens
        (2, 1),  # their second: 3 has ended
        (1, 2),  # prompt 5 joins
        (2, 1),  # 5 has ended
        (1, 1),  # the fourth token of 4
    ]


def test_shots_are_computed_once_however_few_slots_there_are(babbler):
    questions = [(50,), (51, 52), (53,), (54, 55), (56,)]
    requests = [GenerationRequest(SHOTS + each, max_new_tokens=1) for each in questions]
    shapes = passes_of(babbler, requests, slots=1)
    assert shapes == [(1, 31), (1, 2), (1, 1), (1, 2), (1, 1)]
    shapes = passes_of(babbler, requests, slots=2)
    assert shapes == [(1, 30), (2, 2), (2, 2), (1, 1)]


def test_a_prompt_of_other_beginning_does_not_spoil_what_the_others_share(babbler):
    shared = [GenerationRequest(tuple(range(10, 150)) + (at,)) for at in range(3, 7)]
    requests = [*shared, GenerationRequest(tuple(range(200, 260)))]
    shapes = passes_of(babbler, [_short(each) for each in requests], slots=5)
    assert shapes == [(1, 140), (4, 1), (1, 60)]


def _short(request):
    return GenerationRequest(request.prompt, max_new_tokens=1)


def test_stop_strings_are_each_requests_own(babbler):
    whole = generate_texts(*babbler, [GenerationRequest((40, 41), max_new_tokens=24)])[0]
    assert (whole.ended_by, whole.tokens) == ("length", 24)
    word = whole.text[4:7]
    requests = [
        GenerationRequest((40, 41), stop=stop, max_new_tokens=24)
        for stop in [(word,), (), ("~~~",)]
    ]
    texts = generate_texts(*babbler, requests, slots=2)
    assert texts[0].text == whole.text[: whole.text.index(word)]
    assert texts[0].ended_by == "stop"
    assert texts[0].tokens < 24
    assert texts[1:] == [whole, whole]
    for_all = generate_texts(*babbler, requests, stop_words=[word])
    assert {text.text for text in for_all} == {texts[0].text}


def test_a_sampled_answer_depends_on_its_own_seed_alone(babbler):
    requests = [
        GenerationRequest(SHOTS, max_new_tokens=12, temperature=1.5, top_p=0.9, seed=seed)
        for seed in (1, 2, 3, 1)
    ]
    state = torch.random.get_rng_state()
    texts = generate_texts(*babbler, requests, slots=4)
    assert texts[0] == texts[3]
    assert len({text.text for text in texts}) == 3
    for slots in (1, 3):
        assert generate_texts(*babbler, requests, slots=slots) == texts
    assert generate_texts(*babbler, requests[::-1], slots=2) == texts[::-1]
    assert generate_texts(*babbler, requests[1:2]) == texts[1:2]
    assert torch.equal(state, torch.random.get_rng_state())


def test_results_come_as_they_are_there(babbler):
    seen = []
    lengths = [5, 1, 3]
    requests = [GenerationRequest((40, at), max_new_tokens=most) for at, most in enumerate(lengths)]
    texts = generate_texts(*babbler, requests, on_result=lambda at, text: seen.append((at, text)))
    assert [at for at, _ in seen] == [1, 2, 0]
    assert sorted(seen, key=lambda pair: pair[0]) == list(enumerate(texts))


def test_too_little_memory_halves_the_slots_and_changes_no_answer(babbler):
    llm, tokenizer = babbler
    sizes = []

    def refuse(module, args):
        sizes.append(len(args[0]))
        if len(args[0]) > 2:
            raise torch.OutOfMemoryError("more than two rows")

    expected = generate_texts(llm, tokenizer, asked(), slots=8)
    seen = []
    hook = llm.get_input_embeddings().register_forward_pre_hook(refuse)
    try:
        texts = generate_texts(
            llm, tokenizer, asked(), slots=8, on_result=lambda at, text: seen.append(at)
        )
    finally:
        hook.remove()
    assert texts == expected
    assert sorted(seen) == list(range(9))
    assert max(sizes) > 2


def test_memory_for_no_row_is_an_error(babbler):
    llm, tokenizer = babbler

    def refuse(module, args):
        raise torch.OutOfMemoryError("no room")

    hook = llm.get_input_embeddings().register_forward_pre_hook(refuse)
    try:
        with pytest.raises(torch.OutOfMemoryError, match="no room"):
            generate_texts(llm, tokenizer, asked(), slots=8)
    finally:
        hook.remove()


def test_no_requests_no_texts(babbler):
    assert generate_texts(*babbler, []) == []


def test_an_answer_ends_where_the_context_ends(babbler):
    text = generate_texts(*babbler, [GenerationRequest((5,) * 250, max_new_tokens=99)])[0]
    assert (text.tokens, text.ended_by) == (6, "length")
    with pytest.raises(UsageError, match="prompt has 256 tokens and the model's context is 256"):
        generate_texts(*babbler, [GenerationRequest((5,) * 256)])


@pytest.mark.parametrize(("family", "settings"), [("llama", {}), ("lfm2", STATES)])
def test_processes_that_share_a_model_make_as_many_passes(tmp_path, family, settings):
    folder = str(write_tiny_model(tmp_path / family, family, **settings))
    run_ranks("tests.generation.two_ranks", [folder, str(tmp_path), "2"], tmp_path / "said", 2)
    said = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    assert said[0]["passes"] == said[1]["passes"] > 9
    llm, tokenizer = load_model(folder, dtype="fp32"), load_tokenizer(folder)
    for rank, of in enumerate(said):
        requests = [
            GenerationRequest(prompt, max_new_tokens=most)
            for prompt, most in zip(two_ranks.PROMPTS[rank], two_ranks.LENGTHS[rank], strict=True)
        ]
        assert of["texts"] == [by_transformers(llm, tokenizer, each).text for each in requests]
