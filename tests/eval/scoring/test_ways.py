"""By a tree, by a cache and one by one: the same numbers, those of the plain way in float64."""

from __future__ import annotations

import random
import re

import pytest
import torch
from peft import LoraConfig

from tests.eval.scoring.models import FAMILIES, folder_of, reference_of
from tests.eval.scoring.plain import some_requests, the_plain_way
from xtune.errors import ModelError
from xtune.eval.requests import LikelihoodRequest
from xtune.eval.scoring import Scorer, score_likelihoods
from xtune.models import attach_adapter, load_model

VOCABULARY = 384


def assert_equal_numbers(found, plain, *, tolerance: float = 1e-5) -> None:
    sums = torch.tensor([sum_ for sum_, _ in plain], dtype=torch.float64)
    ours = torch.tensor([likelihood.log_prob for likelihood in found], dtype=torch.float64)
    torch.testing.assert_close(ours, sums, rtol=tolerance, atol=tolerance)
    assert [likelihood.greedy for likelihood in found] == [greedy for _, greedy in plain]


def greedy_continuations(reference, requests):
    """Requests whose continuation is what the model itself would write."""
    made = []
    for request in requests:
        ids = list(request.context)
        for _ in range(3):
            with torch.no_grad():
                ids.append(int(reference(torch.tensor([ids])).logits[0, -1].argmax()))
        made.append(LikelihoodRequest(request.context, tuple(ids[-3:])))
    return made


@pytest.mark.parametrize("family", FAMILIES)
def test_every_way_gives_the_numbers_of_the_plain_way_in_float64(shared_folder, family):
    folder = folder_of(shared_folder, family)
    reference, llm = reference_of(folder, family), load_model(str(folder), dtype="fp32")
    requests = some_requests(VOCABULARY)
    requests += greedy_continuations(reference, requests[:2])
    plain = the_plain_way(reference, requests)
    assert {greedy for _, greedy in plain} == {True, False}
    ways = FAMILIES[family][1]
    scorer = Scorer(llm, token_budget=100)
    assert_equal_numbers(scorer.score(requests), plain)
    assert scorer.allowed.way == ways[0]
    for way in ("tree", "cache", "single"):
        if way in ways:
            assert_equal_numbers(score_likelihoods(llm, requests, way=way), plain)
        else:
            with pytest.raises(ModelError, match=f"'{family}' cannot be scored so: {way}: "):
                score_likelihoods(llm, requests, way=way)


@pytest.fixture(scope="module")
def llama(shared_folder):
    return load_model(str(folder_of(shared_folder, "llama")), dtype="fp32")


def test_how_requests_are_ordered_and_laid_out_changes_nothing(llama):
    requests = some_requests(VOCABULARY, seed=1)
    first = score_likelihoods(llama, requests)
    order = list(range(len(requests)))
    random.Random(0).shuffle(order)
    for budget in (1, 40, 75, 4096):
        again = score_likelihoods(llama, [requests[n] for n in order], token_budget=budget)
        for place, number in enumerate(order):
            assert again[place].log_prob == pytest.approx(first[number].log_prob, abs=1e-5)
            assert again[place].tokens == len(requests[number].continuation)


def test_letters_after_one_question_cost_the_question_once(llama):
    context = tuple(range(10, 40))
    scorer = Scorer(llama)
    letters = scorer.score([LikelihoodRequest(context, (letter,)) for letter in (5, 6, 7, 8)])
    assert scorer.tokens == 30
    assert len({likelihood.log_prob for likelihood in letters}) == 4


def test_what_contexts_begin_with_is_computed_once_a_row(llama):
    shots = tuple(range(10, 110))
    requests = [LikelihoodRequest((*shots, 200 + n, 210 + n), (5, 6)) for n in range(6)]
    scorer = Scorer(llama)
    scorer.score(requests)
    assert scorer.tokens == 100 + 6 * 3  # two more of the context, one of the continuation
    in_short_rows = Scorer(llama, token_budget=106)
    in_short_rows.score(requests)
    assert in_short_rows.tokens == 3 * (100 + 2 * 3)


def test_an_adapter_counts_also_one_on_the_head_and_switched_off_it_does_not(shared_folder):
    folder = folder_of(shared_folder, "llama")
    requests = some_requests(VOCABULARY)
    plain_base = the_plain_way(reference_of(folder, "llama"), requests)
    torch.manual_seed(0)
    config = LoraConfig(
        r=4, target_modules=["q_proj", "down_proj", "lm_head"], init_lora_weights=False
    )
    tuned = attach_adapter(load_model(str(folder), dtype="fp32"), config)
    merged = attach_adapter(reference_of(folder, "llama"), config)
    merged.load_state_dict({k: v.double() for k, v in tuned.state_dict().items()})
    plain = the_plain_way(merged.merge_and_unload().eval(), requests)
    assert max(abs(a - b) for (a, _), (b, _) in zip(plain, plain_base, strict=True)) > 0.1
    for way in ("tree", "cache", "single"):
        assert_equal_numbers(score_likelihoods(tuned, requests, way=way), plain)
        with tuned.disable_adapter():
            assert_equal_numbers(score_likelihoods(tuned, requests, way=way), plain_base)


def test_a_model_in_training_comes_back_as_it_was(shared_folder):
    from xtune.models.algorithms.backbone import Backbone

    folder = folder_of(shared_folder, "qwen2")
    requests = some_requests(VOCABULARY)
    plain = the_plain_way(reference_of(folder, "qwen2"), requests)
    llm = load_model(str(folder), dtype="fp32")
    Backbone(llm, adapter=LoraConfig(r=4, target_modules=["q_proj"]), gradient_checkpointing=True)
    state = torch.random.get_rng_state()
    assert llm.training
    attention = llm.config._attn_implementation
    assert attention == "xtune_varlen"
    assert_equal_numbers(score_likelihoods(llm, requests), plain)
    assert llm.training
    assert llm.config._attn_implementation == attention
    assert torch.equal(torch.random.get_rng_state(), state)


def test_bf16_is_close_to_float64(shared_folder):
    folder = folder_of(shared_folder, "llama")
    requests = some_requests(VOCABULARY)
    plain = the_plain_way(reference_of(folder, "llama"), requests)
    llm = load_model(str(folder), dtype="bf16")
    scorer = Scorer(llm)
    found = scorer.score(requests)
    assert scorer.allowed.way == "tree"
    errors = [abs(f.log_prob - p) / f.tokens for f, (p, _) in zip(found, plain, strict=True)]
    assert 1e-5 < max(errors) < 0.2


def test_results_come_row_by_row_and_those_before_an_interruption_stand(llama):
    requests = some_requests(VOCABULARY)
    whole = score_likelihoods(llama, requests)
    seen = {}

    def stop_at_the_tenth(index, likelihood):
        seen[index] = likelihood
        if len(seen) == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_likelihoods(llama, requests, token_budget=60, on_result=stop_at_the_tenth)
    assert len(seen) == 10
    for index, likelihood in seen.items():
        assert likelihood.log_prob == pytest.approx(whole[index].log_prob, abs=1e-5)
    assert llama.config._attn_implementation != "xtune_tree"


def test_an_id_that_the_embedding_has_no_row_for_is_refused(llama):
    with pytest.raises(ModelError, match=re.escape("token id 384, but the model's embedding has")):
        score_likelihoods(llama, [LikelihoodRequest((5,), (384,))])


def test_no_requests_need_no_answer(llama):
    assert score_likelihoods(llama, []) == []
