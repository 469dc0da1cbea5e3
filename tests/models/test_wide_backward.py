"""Attention in bf16 with its backward pass in fp32, against torch's own in either."""

from __future__ import annotations

import functools

import pytest
import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from tests.models.test_attention import whole_mask
from xtune.models.attention.by_document import attend_by_document

LENGTHS = [1, 40, 3, 300, 17]


def states_of(heads, keys, lengths, *, width=16):
    generator = torch.Generator().manual_seed(0)
    return [
        # as the projections have them: [T, heads, E] in memory
        torch.randn(1, sum(lengths), count, width, generator=generator).bfloat16().transpose(1, 2)
        for count in (heads, keys, keys)
    ]


def test_in_a_checkpointed_layer_the_gradients_are_the_same():
    attend = functools.partial(attend_by_document, lengths=LENGTHS, window=None, dropout=0.0)
    attend = functools.partial(attend, scaling=None, alibi_slopes=None)
    again = functools.partial(checkpoint, attend, use_reentrant=False)
    states = states_of(4, 2, LENGTHS)
    for one, other in zip(run(attend, states), run(again, states), strict=True):
        assert torch.equal(one, other)


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
@pytest.mark.parametrize("window", [None, 20])
def test_it_is_nearer_to_fp32_than_torch_s_bf16(heads, keys, window):
    states = states_of(heads, keys, LENGTHS)
    true = run(by_mask(LENGTHS, window), [state.float() for state in states])
    ours = run(lambda *s: attend_by_document(*s, lengths=LENGTHS, window=window), states)
    theirs = run(by_mask(LENGTHS, window), states)
    for own, other, value in zip(ours, theirs, true, strict=True):
        assert own.dtype == other.dtype == torch.bfloat16
        error, their_error = ((v.float() - value).norm() / value.norm() for v in (own, other))
        assert error < 0.01
        assert error < 1.1 * their_error


def test_alibi_too():
    slopes = torch.tensor([0.5, 0.1])
    states = states_of(2, 2, LENGTHS)
    attend = lambda *s: attend_by_document(*s, lengths=LENGTHS, alibi_slopes=slopes)  # noqa: E731
    ours, true = run(attend, states), run(attend, [state.float() for state in states])
    for own, value in zip(ours, true, strict=True):
        assert (own.float() - value).norm() < 0.01 * value.norm()


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
        attend_by_document(*states, lengths=lengths)
    assert sum(size for _, size in kept.values()) == 2 * 64 * documents * 16 * (4 + 2 + 2)


def test_a_frozen_state_gets_no_gradient():
    query, key, value = states_of(4, 2, LENGTHS)
    attend_by_document(query, key.requires_grad_(), value, lengths=LENGTHS).float().sum().backward()
    assert key.grad is not None
    assert query.grad is None


def test_with_dropout_the_backward_pass_is_torch_s_own():
    """What is dropped must not be drawn anew."""
    states = states_of(4, 2, LENGTHS)

    def own(*states):
        torch.manual_seed(3)
        return attend_by_document(*states, lengths=LENGTHS, dropout=0.5)

    def document_by_document(*states):
        torch.manual_seed(3)
        documents = zip(*(state.split(LENGTHS, 2) for state in states), strict=True)
        parts = [
            F.scaled_dot_product_attention(*d, dropout_p=0.5, is_causal=True, enable_gqa=True)
            for d in documents
        ]
        return torch.cat(parts, 2).transpose(1, 2)

    torch.testing.assert_close(run(own, states), run(document_by_document, states), rtol=0, atol=0)
