"""Attention over rows that several processes share equals the plain function on the whole row."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, Phi3Config, Qwen2Config

from tests.models.packs import pack, random_documents
from tests.parallel.ranks import on_every_rank
from xtune.errors import ModelError
from xtune.models.attention import varlen_arguments, why_not_slices
from xtune.models.attention.by_heads import key_heads
from xtune.models.attention.varlen import varlen_attention
from xtune.parallel.slices import slice_of


def states_and_weights(heads, keys, tokens, widths):
    generator = torch.Generator().manual_seed(0)

    def random(count, width):
        return torch.randn(1, count, tokens, width, generator=generator)

    return [random(heads, widths[0]), random(keys, widths[0]), random(keys, widths[1])], (
        random(heads, widths[1]).transpose(1, 2)
    )


def out_and_gradients(batch, states, weights, **settings):
    states = [one.clone().requires_grad_() for one in states]
    out, _ = varlen_attention(
        torch.nn.Identity(), *states, None, **varlen_arguments(batch), **settings
    )
    return [out.detach(), *torch.autograd.grad((out * weights).sum(), states)]


def compare(size, lengths, heads, keys, widths=(4, 4), **arguments):
    """Forward and backward on `size` ranks against the plain function."""
    batch = pack(random_documents(lengths))
    total = batch.tokens
    padding = -total % size
    states, weights = states_and_weights(heads, keys, total + padding, widths)
    weights[:, total:] = 0.0  # nothing of the padding is in any loss
    plain = out_and_gradients(
        batch, [one[:, :, :total] for one in states], weights[:, :total], **arguments
    )

    def shared(group):
        own = [one.chunk(size, 2)[group.rank] for one in states]
        return out_and_gradients(
            slice_of(batch, group), own, weights.chunk(size, 1)[group.rank], **arguments
        )

    for place, (expected, parts) in enumerate(
        zip(plain, zip(*on_every_rank(size, shared), strict=True), strict=True)
    ):
        tokens = 1 if place == 0 else 2  # out is [1, T, H, E], gradients are [1, H, T, E]
        whole = torch.cat(parts, dim=tokens)
        row, rest = whole.split([total, padding], dim=tokens)
        torch.testing.assert_close(row, expected, rtol=1e-5, atol=1e-5)
        if place:
            assert not rest.any()


@settings(max_examples=40, deadline=None)
@given(
    size=st.sampled_from([2, 3, 4]),
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    of_each=st.integers(1, 3),
    data=st.data(),
)
def test_any_row_any_heads(size, lengths, of_each, data):
    heads = size * of_each
    keys = data.draw(st.sampled_from([n for n in range(1, heads + 1) if heads % n == 0]))
    compare(size, lengths, heads, keys)


@pytest.mark.parametrize(
    "arguments",
    [
        {"sliding_window": 3},
        {"scaling": 0.3},
        {"alibi_slopes": torch.tensor([0.5, 0.25, 0.0625, 0.01])},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_what_attention_is_told_holds_for_every_head(arguments):
    compare(2, [9, 1, 7], 4, 2, **arguments)


def test_values_of_another_width():
    compare(2, [9, 1, 7], 4, 4, widths=(6, 4))  # as DeepSeek-V2's are


@pytest.mark.parametrize(
    ("heads", "keys", "size", "expected"),
    [
        (8, 8, 4, [0, 1, 2, 3, 4, 5, 6, 7]),
        (8, 4, 2, [0, 1, 2, 3]),  # four query heads a process, two to a key head
        (8, 2, 4, [0, 0, 1, 1]),  # each key head serves two processes
        (4, 1, 2, [0, 0]),
        (6, 3, 2, [0, 0, 1, 1, 2, 2]),  # the middle one serves both: one for each query head
        (12, 2, 3, [0, 0, 0, 1, 1, 1]),  # the second process needs both, for two heads each
    ],
)
def test_the_key_heads_that_each_process_needs(heads, keys, size, expected):
    assert key_heads(heads, keys, size) == expected


def test_heads_that_cannot_be_shared_out_are_refused_with_what_can():
    llama = LlamaConfig(hidden_size=48, num_attention_heads=6)
    assert why_not_slices(llama, 3, longest=4096) is None
    reason = why_not_slices(llama, 4, longest=4096)
    assert reason is not None
    assert "6 query heads" in reason
    assert "may be 1, 2, 3, 6" in reason
    with pytest.raises(ModelError, match="3 query heads cannot be shared out"):
        on_every_rank(2, lambda group: three_heads(group))


def three_heads(group):
    batch = slice_of(pack(random_documents([4])), group)
    states, _ = states_and_weights(3, 3, 2, (4, 4))
    varlen_attention(torch.nn.Identity(), *states, None, **varlen_arguments(batch))


FACTORS = [1.0] * 16
TRAINED_LENGTHS = {
    "dynamic": LlamaConfig(
        max_position_embeddings=512, rope_parameters={"rope_type": "dynamic", "factor": 2.0}
    ),
    "longrope": Phi3Config(
        hidden_size=128,
        num_attention_heads=4,
        original_max_position_embeddings=512,
        max_position_embeddings=2048,
        rope_parameters={
            "rope_type": "longrope",
            "short_factor": FACTORS,
            "long_factor": FACTORS,
            "original_max_position_embeddings": 512,
        },
    ),
    "Qwen 1": Qwen2Config(max_position_embeddings=8192, use_dynamic_ntk=True, seq_length=512),
}


@pytest.mark.parametrize("kind", TRAINED_LENGTHS)
def test_rotation_by_the_whole_documents_length_is_refused_beyond_the_trained_length(kind):
    config = TRAINED_LENGTHS[kind]
    assert why_not_slices(config, 2, longest=512) is None
    reason = why_not_slices(config, 2, longest=513)
    assert reason is not None
    assert "Set max_length to 512 or less" in reason
