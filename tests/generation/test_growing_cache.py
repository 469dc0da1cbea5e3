"""A cache with room holds what transformers' own holds, and copies it seldom."""

from __future__ import annotations

import pytest
import torch
from transformers.cache_utils import DynamicLayer

from tests.tiny import write_tiny_llama, write_tiny_model
from xtune.generation.growing_cache import GrowingLayer, growing_cache
from xtune.models import load_model


def states(rows, tokens, seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(rows, 2, tokens, width, generator=generator) for width in (4, 6)]


def select(layer):
    layer.batch_select_indices(torch.tensor([2, 0]))


def test_it_holds_what_the_other_holds():
    ours, theirs = GrowingLayer(), DynamicLayer()
    steps = [(3, 5), (3, 1), select, (2, 1), lambda layer: layer.crop(-3), (2, 40), (2, 2)]
    for seed, step in enumerate(steps):
        for layer in (ours, theirs):
            if callable(step):
                step(layer)
            else:
                returned = layer.update(*states(*step, seed))
                assert returned[0] is layer.keys
                assert returned[1] is layer.values
        assert torch.equal(ours.keys, theirs.keys)
        assert torch.equal(ours.values, theirs.values)
        assert ours.get_seq_length() == theirs.get_seq_length()
    assert ours.keys.shape == (2, 2, 46, 4)  # 5 + 1 + 1 - 3 + 40 + 2


def test_tokens_are_copied_once_in_32():
    layer, places = GrowingLayer(), []
    layer.update(*states(3, 5, 0))
    for seed in range(1, 67):
        layer.update(*states(3, 1, seed))
        places.append(layer.keys.data_ptr())
    changes = [at for at in range(1, 66) if places[at] != places[at - 1]]
    assert changes == [
        32,
        65,
    ]  # room for 32 more, then the 33rd token takes a new place and 32 more


def test_what_was_returned_is_not_written_over():
    layer = GrowingLayer()
    first, _ = layer.update(*states(2, 3, 0))
    kept = first.clone()
    layer.batch_select_indices(torch.tensor([1]))
    layer.update(*states(1, 1, 1))
    assert torch.equal(first, kept)


def test_models_with_windows_keep_their_own_kind(tmp_path):
    plain = load_model(str(write_tiny_llama(tmp_path / "llama")))
    assert [type(layer) for layer in growing_cache(plain).layers] == [GrowingLayer] * 2
    windows = load_model(str(write_tiny_model(tmp_path / "m", "mistral", sliding_window=8)))
    assert growing_cache(windows) is None


@pytest.mark.parametrize("kind", ["static", "offloaded"])
def test_a_cache_that_the_checkpoint_names_is_taken(tmp_path, kind):
    llm = load_model(str(write_tiny_llama(tmp_path / "llama")))
    llm.generation_config.cache_implementation = kind
    assert growing_cache(llm) is None
