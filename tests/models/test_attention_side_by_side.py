"""Attention of documents side by side, against torch's over the whole row, in fp32 and in bf16."""

from __future__ import annotations

import functools

import pytest
import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from tests.models.packs import pack, random_documents
from tests.models.test_attention import whole_mask
from xtune.models.attention import kernel_for
from xtune.models.attention import side_by_side as module
from xtune.models.attention.by_document import attend_by_document
from xtune.models.attention.side_by_side import attend_side_by_side, sort_by_length
from xtune.models.attention.varlen import varlen_arguments, varlen_attention

LENGTHS = [1, 40, 3, 300, 17, 129, 128]  # of one length with padding, and without any


def side_by_side(lengths, scaling=None):
    groups = sort_by_length(lengths)
    return functools.partial(attend_side_by_side, groups=groups, scaling=scaling)


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


def by_mask(lengths, window=None, scaling=None):
    def attend(*states):
        mask = whole_mask(lengths, window)
        return F.scaled_dot_product_attention(
            *states, attn_mask=mask, scale=scaling, enable_gqa=True
        ).transpose(1, 2)

    return attend


@pytest.mark.parametrize(("heads", "keys"), [(4, 4), (4, 2), (3, 1)])
@pytest.mark.parametrize("scaling", [None, 0.3])
def test_in_fp32_it_is_one_masked_product_over_the_whole_row(heads, keys, scaling):
    states = [state.float() for state in states_of(heads, keys, LENGTHS)]
    ours = run(side_by_side(LENGTHS, scaling), states)
    expected = run(by_mask(LENGTHS, scaling=scaling), states)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("heads", "keys"), [(4, 4), (4, 2), (3, 1)])
@pytest.mark.parametrize(("queries", "scores"), [(256, 2**23), (64, 2**23), (256, 1)])
def test_in_bf16_it_is_as_near_to_fp32_as_torch_s_kernel(monkeypatch, heads, keys, queries, scores):
    """However many queries are a block of the backward pass: at most 256, 64, and 32."""
    monkeypatch.setattr(module, "_QUERIES", queries)
    monkeypatch.setattr(module, "_SCORES", scores)
    states = states_of(heads, keys, LENGTHS)
    true = run(by_mask(LENGTHS), [state.float() for state in states])
    ours = run(side_by_side(LENGTHS), states)
    theirs = run(by_mask(LENGTHS), states)
    for own, other, value in zip(ours, theirs, true, strict=True):
        assert own.dtype == other.dtype == torch.bfloat16
        error, their_error = ((v.float() - value).norm() / value.norm() for v in (own, other))
        assert error < 0.01
        assert error < 1.5 * their_error


def test_documents_of_similar_length_are_one_call():
    assert [group.length for group in sort_by_length(LENGTHS)] == [32, 32, 64, 320, 160, 128]
    first = sort_by_length([2, 40, 1])[0]
    places, to = (each.view(2, 32)[:, :3].tolist() for each in first[:2])
    assert places == [[0, 1, 1], [42, 42, 42]]
    assert to == [[0, 1, 43], [42, 43, 43]]  # 43: after the row


def test_states_may_lie_in_memory_in_either_order():
    states = states_of(4, 2, LENGTHS)
    turned = [state.contiguous() for state in states]
    for one, other in zip(
        *(run(side_by_side(LENGTHS), each) for each in (states, turned)), strict=True
    ):
        assert torch.equal(one, other)


def test_of_documents_as_long_as_many_go_together_as_a_power_of_two():
    assert [len(group.to) // 32 for group in sort_by_length([20] * 7)] == [4, 2, 1]


def test_values_may_be_narrower_than_keys():  # as in DeepSeek-V2
    query, key, value = (state.float() for state in states_of(4, 4, LENGTHS))
    states = [query, key, value[..., :10]]
    ours = run(side_by_side(LENGTHS), states)
    torch.testing.assert_close(ours, run(by_mask(LENGTHS), states), rtol=1e-4, atol=1e-5)


def test_in_a_checkpointed_layer_the_gradients_are_the_same():
    attend = side_by_side(LENGTHS)
    again = functools.partial(checkpoint, attend, use_reentrant=False)
    states = states_of(4, 2, LENGTHS)
    for one, other in zip(run(attend, states), run(again, states), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("documents", [2, 8])
def test_what_is_kept_is_what_comes_in_and_goes_out_and_a_number_a_query(documents):
    lengths = [64] * documents
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = tensor, storage.nbytes()
        return tensor

    states = [state.requires_grad_() for state in states_of(4, 2, lengths)]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = side_by_side(lengths)(*states)
    size = kept.pop(out.untyped_storage().data_ptr())[1]
    assert size == 2 * 16 * 4 * (64 * documents + 1)
    tokens = 64 * documents
    states_and_sums = 2 * tokens * 16 * (4 + 2 + 2), 4 * (tokens + 1) * 4
    assert sum(size for _, size in kept.values()) == sum(states_and_sums)


def test_a_frozen_state_gets_no_gradient():
    query, key, value = states_of(4, 2, LENGTHS)
    side_by_side(LENGTHS)(query, key.requires_grad_(), value).float().sum().backward()
    assert key.grad is not None
    assert query.grad is None


def test_under_autocast_products_of_fp32_stay_fp32():
    states = states_of(4, 2, LENGTHS)
    plain = run(side_by_side(LENGTHS), states)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for one, other in zip(plain, run(side_by_side(LENGTHS), states), strict=True):
            assert torch.equal(one, other)


def test_the_layers_of_a_batch_share_what_is_sorted_and_longer_documents_than_a_window_are_apart():
    arguments = varlen_arguments(pack(random_documents([3, 50])))
    states = states_of(4, 2, [3, 50])
    layer = torch.nn.Identity()
    for window in (20, None, 50):
        out, _ = varlen_attention(layer, *states, None, sliding_window=window, **arguments)
        expected = by_mask([3, 50], window)(*(state.float() for state in states))
        torch.testing.assert_close(out.float(), expected, rtol=0.02, atol=0.02)
        assert list(arguments["blocks_of_row"]) == ([] if window == 20 else [None])


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize(("heads", "keys"), [(4, 4), (4, 2), (3, 1)])
@pytest.mark.parametrize("kind", ["window 1", "window 20", "window 200", "alibi"])
def test_what_goes_document_by_document_is_as_near_to_fp32(heads, keys, kind, autocast):
    slopes = torch.linspace(0.5, 0.1, heads) if kind == "alibi" else None
    window = None if kind == "alibi" else int(kind.split()[1])
    arguments = varlen_arguments(pack(random_documents(LENGTHS)))

    def ours(*states):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            return varlen_attention(
                torch.nn.Identity(),
                *states,
                None,
                sliding_window=window,
                alibi_slopes=slopes,
                **arguments,
            )[0]

    states = states_of(heads, keys, LENGTHS)
    exactly = functools.partial(
        attend_by_document, lengths=LENGTHS, window=window, alibi_slopes=slopes
    )
    true = run(exactly, [state.float() for state in states])
    for own, value in zip(run(ours, states), true, strict=True):
        assert own.dtype == torch.bfloat16
        assert (own.float() - value).norm() < 0.003 * value.norm() + 1e-4  # rounded once


@pytest.mark.parametrize("change", [{"dropout": 0.1}, {"plain": False}])
def test_what_the_kernel_does_not_cover_goes_document_by_document(change):
    assert kernel_for(torch.device("cpu"), torch.bfloat16, **change) == "sdpa by document"
