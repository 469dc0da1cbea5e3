"""Rotary positions against transformers' own, and the attention layers that must be left alone."""

from __future__ import annotations

import pytest
import torch
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from tests.models.fused.test_lora_linear import kept_bytes
from xtune.models import load_model
from xtune.models.fused.rotary_attention import fuse_attention, is_attention, rotate

T, E = 11, 8


def states(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    query, key = (
        torch.randn(1, T, heads, E, generator=generator).to(dtype).transpose(1, 2)
        for heads in (4, 2)
    )
    # Not a real rotation: the halves of a head may have angles of their own.
    cos, sin = (torch.randn(1, T, E, generator=generator).to(dtype) for _ in range(2))
    return query, key, cos, sin


def run(function, query, key, cos, sin):
    leaves = [state.detach().clone().requires_grad_() for state in (query, key)]
    outs = function(*leaves, cos, sin)
    weights = [torch.randn(out.shape, generator=torch.Generator().manual_seed(1)) for out in outs]
    total = sum((out.float() * w).sum() for out, w in zip(outs, weights, strict=True))
    return [*(out.detach() for out in outs), *torch.autograd.grad(total, leaves)]


def test_equals_transformers_in_fp32():
    ours, theirs = run(rotate, *states()), run(apply_rotary_pos_emb, *states())
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_in_bf16_it_is_as_near_to_fp32_as_transformers():
    given = states(torch.bfloat16)
    true = run(apply_rotary_pos_emb, *(state.float() for state in given))
    ours, theirs = run(rotate, *given), run(apply_rotary_pos_emb, *given)
    for own, other, value in zip(ours, theirs, true, strict=True):
        assert own.dtype == torch.bfloat16
        error, their_error = ((v.float() - value).norm() for v in (own, other))
        assert error < 1.3 * their_error


def test_nothing_of_the_states_is_kept():
    query, key, cos, sin = states()
    assert kept_bytes([lambda q: rotate(q, key, cos, sin)], query.requires_grad_()) == 2 * T * E * 4


@pytest.mark.parametrize(
    ("family", "settings", "passed_on"),
    [
        ("llama", {}, {}),
        ("qwen2", {}, {"sliding_window": None}),
        ("mistral", {"sliding_window": 7}, {"sliding_window": 7}),
        ("qwen3", {}, {"sliding_window": None}),
        ("gemma", {}, {}),
    ],
)
def test_what_a_layer_passes_on_is_read_from_its_own_code(tiny_family, family, settings, passed_on):
    llm = load_model(str(tiny_family(family, **settings)), dtype="fp32")
    layers = [layer for layer in llm.modules() if is_attention(layer)]
    assert len(layers) == 2
    for layer in layers:
        names = list(layer.state_dict())
        assert fuse_attention(layer)
        assert layer.attention_settings == {"scaling": 8**-0.5, **passed_on}
        assert list(layer.state_dict()) == names


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("cohere", {}),  # turns neighbours
        ("glm4", {}),  # turns a part of a head
        ("olmo", {"clip_qkv": 8.0}),  # clamps
        ("ministral3", {}),  # scales queries by position
    ],
)
def test_what_does_something_else_is_left_alone(tiny_family, family, settings):
    llm = load_model(str(tiny_family(family, **settings)), dtype="fp32")
    layers = [layer for layer in llm.modules() if is_attention(layer)]
    assert layers
    for layer in layers:
        kind = type(layer)
        assert not fuse_attention(layer)
        assert type(layer) is kind
