"""Rows that fit: by what is free, by what has not fitted, by what a model tells of its windows."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch

from tests.eval.scoring.models import folder_of, reference_of
from tests.eval.scoring.plain import some_requests, the_plain_way
from tests.eval.scoring.test_ways import VOCABULARY, assert_equal_numbers
from xtune.eval.scoring import Scorer, budget, score_likelihoods
from xtune.eval.scoring.budget import budget_of, bytes_per_token
from xtune.eval.scoring.scores import chunk_size
from xtune.eval.scoring.ways import Allowed, allowed_way
from xtune.models import load_model


@pytest.fixture(scope="module")
def folder(shared_folder):
    return folder_of(shared_folder, "qwen2")


@pytest.fixture
def llm(folder):
    """Each test's own, to be changed."""
    return load_model(str(folder), dtype="fp32")


@pytest.fixture(scope="module")
def requests():
    return some_requests(VOCABULARY)


@pytest.fixture(scope="module")
def plain(folder, requests):
    return the_plain_way(reference_of(folder, "qwen2"), requests)


def fits_only(llm, tokens, error):
    """The first layer has no memory for longer rows; returns the lengths that it was given."""
    given = []

    def check(layer, args, kwargs):
        states = args[0] if args else kwargs["hidden_states"]
        given.append(states.shape[1])
        if states.shape[1] > tokens:
            raise error

    llm.model.layers[0].register_forward_pre_hook(check, with_kwargs=True)
    return given


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried …"),
    ],
    ids=["GPU", "CPU"],
)
def test_where_memory_runs_out_rows_are_halved_and_stay_so(llm, requests, plain, error, caplog):
    given = fits_only(llm, 130, error)
    scorer = Scorer(llm, token_budget=4096)
    with caplog.at_level(logging.WARNING):
        assert_equal_numbers(scorer.score(requests), plain)
    assert scorer.token_budget <= 130
    assert "memory has run out on a row of" in caplog.text
    failed = sum(tokens > 130 for tokens in given)
    assert failed >= 1
    assert_equal_numbers(scorer.score(requests), plain)
    assert sum(tokens > 130 for tokens in given) == failed


def test_a_text_that_does_not_fit_alone_is_the_callers_to_know(llm, requests):
    fits_only(llm, 40, torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(torch.OutOfMemoryError):
        score_likelihoods(llm, requests)


def test_another_error_is_none_of_memory(llm, requests):
    fits_only(llm, 100, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        score_likelihoods(llm, requests)


def test_the_budget_is_half_of_what_is_free_within_bounds(llm, monkeypatch):
    # width 32, inner 64, 4 heads of 8: 8 x 32 + 4 x 64 + 8 x 32 numbers of 4 bytes
    assert bytes_per_token(llm) == 3072
    for gib, tokens in ((1.0, 4096), (2**-7, 2**23 // 2 // 3072), (0.0, 128)):
        monkeypatch.setattr(budget, "place_of", lambda device, gib=gib: SimpleNamespace(gib=gib))
        assert budget_of(llm) == tokens


def test_a_chunk_of_logits_is_64_mb_at_most():
    assert chunk_size(32_000) == 256
    assert chunk_size(151_936) == 110
    assert chunk_size(151_936) * 151_936 * 4 <= 64 * 2**20


def test_a_window_that_layers_keep_to_themselves_limits_the_tree(llm, requests, plain):
    assert allowed_way(llm) == Allowed("tree", None)
    llm.config.sliding_window = 20  # it is in the masks that the model makes
    llm.config.layer_types = ["sliding_attention"] * 2
    llm.model.has_sliding_layers = True
    assert [layer.self_attn.sliding_window for layer in llm.model.layers] == [None, None]
    assert allowed_way(llm) == Allowed("tree", 20)
    windowed = the_plain_way(llm, requests)
    assert max(abs(a - b) for (a, _), (b, _) in zip(windowed, plain, strict=True)) > 0.1
    assert_equal_numbers(score_likelihoods(llm, requests), windowed)
