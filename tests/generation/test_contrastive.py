"""Contrastive search is what its formula says, computed here without a cache."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.nn.functional import cosine_similarity

from tests.tiny import write_tiny_llama
from xtune.generation.answer import Answer
from xtune.generation.contrastive import ContrastiveRows
from xtune.generation.row import Row
from xtune.generation.settings import GenerationSettings
from xtune.models import generation_mode, load_model, load_tokenizer


@pytest.fixture(scope="module")
def babbler(tmp_path_factory):
    folder = str(write_tiny_llama(tmp_path_factory.mktemp("babbler")))
    return load_model(folder, dtype="fp32"), load_tokenizer(folder)


def by_the_formula(llm, ids, tokens, top_k, alpha):
    ids = list(ids)
    for _ in range(tokens):
        logits = llm(torch.tensor([ids])).logits[0, -1]
        shares, candidates = logits.softmax(-1).topk(top_k)
        scores = []
        for share, token in zip(shares, candidates.tolist(), strict=True):
            said = llm(torch.tensor([[*ids, token]]), output_hidden_states=True)
            states = said.hidden_states[-1][0]
            alike = cosine_similarity(states[-1:], states[:-1]).max()
            scores.append(((1 - alpha) * share - alpha * alike).item())
        ids.append(candidates.tolist()[scores.index(max(scores))])
    return ids


@pytest.mark.parametrize(("top_k", "alpha"), [(4, 0.6), (6, 0.3), (1, 0.6), (4, 0.0)])
def test_each_token_is_the_one_of_the_best_score(babbler, top_k, alpha):
    llm, tokenizer = babbler
    settings = GenerationSettings(max_new_tokens=10, top_k=top_k)
    prompts = [(40, 41, 42), tuple(range(60, 80))]
    rows = [Row(prompt, partial(Answer, tokenizer), settings, alpha=alpha) for prompt in prompts]
    with generation_mode(llm):
        expected = [by_the_formula(llm, prompt, 10, top_k, alpha) for prompt in prompts]
        group = ContrastiveRows(llm, torch.device("cpu"), slots=4)
        group.add(rows)
        ended = []
        while group.busy:
            ended += group.step()
        greedy = llm.generate(
            torch.tensor([prompts[0]]), max_new_tokens=10, do_sample=False, pad_token_id=0
        )[0].tolist()
    assert [row.ids for row in rows] == expected
    assert ended == rows
    assert (expected[0] == greedy) == (top_k == 1 or alpha == 0)
