"""Attention by blocks of queries, against torch's own over the whole row, in fp32 and in bf16."""

from __future__ import annotations

import functools

import pytest
import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from tests.models.packs import pack, random_documents
from tests.models.test_attention import whole_mask
from xtune.models.attention import by_blocks as module
from xtune.models.attention import kernel_for
from xtune.models.attention.by_blocks import attend_by_blocks, cut_into_blocks
from xtune.models.attention.by_document import attend_by_document
from xtune.models.attention.varlen import varlen_arguments, varlen_attention

LENGTHS = [1, 40, 3, 300, 17, 129, 128]  # shorter and longer than a block, padded to one size


def by_blocks(lengths, window=None, slopes=None):
    def attend(query, key, value):
        groups = cut_into_blocks(lengths, window, query.shape[1])
        return attend_by_blocks(query, key, value, groups, alibi_slopes=slopes)

    return attend


def states_of(heads, keys, lengths, *, width=16):
    generator = torch.Generator().manual_seed(0)
    return [
        # as the projections have them: [T, heads, E] in memory
        torch.randn(1, sum(lengths), count, width, generator=generator).bfloat16().transpose(1, 2)
        for count in (heads, keys, keys)
    ]


def run(function, states):
    states = [state.detach().clone().requires_grad_() for state in states]
    out = function(*states)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    return [out.detach(), *torch.autograd.grad((out.float() * weights).sum(), states)]


def by_mask(lengths, window):
    def attend(*states):
        mask = whole_mask(lengths, window)
        return F.scaled_dot_product_attention(*states, attn_mask=mask, enable_gqa=True).transpose(
            1, 2
        )

    return attend


@pytest.mark.parametrize(("heads", "keys"), [(4, 4), (4, 2), (3, 1)])
@pytest.mark.parametrize("window", [None, 1, 20, 200, 5000])
def test_in_fp32_it_is_one_masked_product_over_the_whole_row(heads, keys, window):
    states = [state.float() for state in states_of(heads, keys, LENGTHS)]
    ours = run(by_blocks(LENGTHS, window), states)
    torch.testing.assert_close(ours, run(by_mask(LENGTHS, window), states), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("heads", "keys"), [(4, 4), (4, 2), (3, 1)])
@pytest.mark.parametrize("window", [None, 20])
def test_in_bf16_it_is_as_near_to_fp32_as_torch_s_kernel(heads, keys, window):
    states = states_of(heads, keys, LENGTHS)
    true = run(by_mask(LENGTHS, window), [state.float() for state in states])
    ours = run(by_blocks(LENGTHS, window), states)
    theirs = run(by_mask(LENGTHS, window), states)
    for own, other, value in zip(ours, theirs, true, strict=True):
        assert own.dtype == other.dtype == torch.bfloat16
        error, their_error = ((v.float() - value).norm() / value.norm() for v in (own, other))
        assert error < 0.01
        assert error < 1.25 * their_error


def test_values_may_be_narrower_than_keys():  # as in DeepSeek-V2
    query, key, value = (state.float() for state in states_of(4, 4, LENGTHS))
    states = [query, key, value[..., :10]]
    ours = run(by_blocks(LENGTHS), states)
    torch.testing.assert_close(ours, run(by_mask(LENGTHS, None), states), rtol=1e-4, atol=1e-5)


def test_groups_that_a_cache_would_not_hold_are_cut(monkeypatch):
    states = [state.float() for state in states_of(4, 2, LENGTHS)]
    whole = run(by_blocks(LENGTHS), states)
    few = len(cut_into_blocks(LENGTHS, None, 4))
    monkeypatch.setattr(module, "_CACHED", 1)
    assert len(cut_into_blocks(LENGTHS, None, 4)) > few
    torch.testing.assert_close(run(by_blocks(LENGTHS), states), whole, rtol=1e-5, atol=1e-6)


def test_alibi_too():
    slopes = torch.tensor([0.5, 0.1])
    states = [state.float() for state in states_of(2, 2, LENGTHS)]
    ours = run(by_blocks(LENGTHS, slopes=slopes), states)
    by_document = functools.partial(attend_by_document, lengths=LENGTHS, alibi_slopes=slopes)
    torch.testing.assert_close(ours, run(by_document, states), rtol=1e-4, atol=1e-5)


def test_in_a_checkpointed_layer_the_gradients_are_the_same():
    attend = by_blocks(LENGTHS)
    again = functools.partial(checkpoint, attend, use_reentrant=False)
    states = states_of(4, 2, LENGTHS)
    for one, other in zip(run(attend, states), run(again, states), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("documents", [2, 8])
def test_what_is_kept_is_query_key_and_value(documents):
    lengths = [64] * documents
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = tensor, storage.nbytes()
        return tensor

    states = [state.requires_grad_() for state in states_of(4, 2, lengths)]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        by_blocks(lengths)(*states)
    assert sum(size for _, size in kept.values()) == 2 * 64 * documents * 16 * (4 + 2 + 2)


def test_a_frozen_state_gets_no_gradient():
    query, key, value = states_of(4, 2, LENGTHS)
    by_blocks(LENGTHS)(query, key.requires_grad_(), value).float().sum().backward()
    assert key.grad is not None
    assert query.grad is None


def test_under_autocast_products_of_fp32_stay_fp32():
    states = states_of(4, 2, LENGTHS)
    plain = run(by_blocks(LENGTHS), states)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for one, other in zip(plain, run(by_blocks(LENGTHS), states), strict=True):
            assert torch.equal(one, other)


def test_the_layers_of_a_batch_share_their_blocks_and_those_of_a_window_have_their_own():
    arguments = varlen_arguments(pack(random_documents([3, 50])))
    states = states_of(4, 2, [3, 50])
    layer = torch.nn.Identity()
    for window in (None, 20, None):
        out, _ = varlen_attention(layer, *states, None, sliding_window=window, **arguments)
        expected = by_mask([3, 50], window)(*(state.float() for state in states))
        torch.testing.assert_close(out.float(), expected, rtol=0.02, atol=0.02)
    assert list(arguments["blocks_of_row"]) == [None, 20]


def test_with_dropout_it_is_torch_s_kernel():
    """What is dropped must not be drawn anew."""
    assert kernel_for(torch.device("cpu"), torch.bfloat16, dropout=0.1) == "sdpa by document"
