"""Fused norms and MLPs against the families' own code, and the families they must not touch."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import GemmaConfig, LlamaConfig, Qwen2Config
from transformers.models.gemma.modeling_gemma import GemmaMLP, GemmaRMSNorm
from transformers.models.llama.modeling_llama import LlamaMLP, LlamaRMSNorm
from transformers.models.qwen2.modeling_qwen2 import Qwen2MLP, Qwen2RMSNorm

from tests.models.fused.test_lora_linear import kept_bytes
from xtune.models.fused.gated_mlp import fuse_mlp
from xtune.models.fused.rms_norm import fuse_norm

D, FF, N = 16, 40, 21
SIZES = {"hidden_size": D, "intermediate_size": FF, "num_attention_heads": 4}


def stirred(layer):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    return layer


def states(dtype=torch.float32):
    return 2 * torch.randn(1, N, D, generator=torch.Generator().manual_seed(2)).to(dtype)


def run(layer, x):
    x = x.clone().requires_grad_()
    out = layer(x)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(3))
    (out.float() * weights).sum().backward()
    grads = {"x": x.grad} | {n: p.grad for n, p in layer.named_parameters() if p.requires_grad}
    layer.zero_grad()
    return {"out": out.detach(), **grads}


PLAIN = {
    "llama norm": (lambda: LlamaRMSNorm(D, eps=1e-5), fuse_norm),
    "qwen2 norm": (lambda: Qwen2RMSNorm(D, eps=1e-3), fuse_norm),
    "llama mlp": (lambda: LlamaMLP(LlamaConfig(**SIZES, mlp_bias=True)), fuse_mlp),
    "qwen2 mlp": (lambda: Qwen2MLP(Qwen2Config(**SIZES)), fuse_mlp),
}


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("frozen", [False, True], ids=["trained", "frozen"])
def test_equals_the_family_s_own_in_fp32(kind, frozen):
    make, fuse_one = PLAIN[kind]
    plain = stirred(make()).requires_grad_(not frozen)
    fused = copy.deepcopy(plain)
    assert fuse_one(fused)
    torch.testing.assert_close(run(fused, states()), run(plain, states()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("weight_dtype", [torch.bfloat16, torch.float32], ids=["bf16", "fp32"])
def test_in_bf16_it_is_as_near_to_fp32_as_the_family_s_own(kind, weight_dtype):
    make, fuse_one = PLAIN[kind]
    if "mlp" in kind and weight_dtype == torch.float32:
        pytest.skip("a product of bf16 with fp32 needs autocast")
    plain = stirred(make()).to(weight_dtype)
    exact, fused = copy.deepcopy(plain).float(), copy.deepcopy(plain)
    assert fuse_one(fused)
    x = states(torch.bfloat16)
    ours, theirs, true = run(fused, x), run(plain, x), run(exact, x.float())
    for name, value in true.items():
        assert ours[name].dtype == theirs[name].dtype, name
        error, their_error = (
            (v[name].float() - value).norm() / value.norm() for v in (ours, theirs)
        )
        assert error < 0.02, name
        assert error < 1.3 * their_error, name


def test_a_norm_keeps_its_input_and_nothing_else_of_its_size():
    plain = stirred(LlamaRMSNorm(D)).bfloat16().requires_grad_(False)
    fused = copy.deepcopy(plain)
    assert fuse_norm(fused)
    x = states(torch.bfloat16).requires_grad_() * 1
    assert kept_bytes([fused], x) == N * D * 2 + N * 4
    assert kept_bytes([plain], x) >= N * D * 4


def test_an_mlp_does_not_keep_what_silu_returns():
    plain = stirred(LlamaMLP(LlamaConfig(**SIZES))).bfloat16().requires_grad_(False)
    fused = copy.deepcopy(plain)
    assert fuse_mlp(fused)
    x = states(torch.bfloat16).requires_grad_() * 1
    assert kept_bytes([fused], x) == 2 * N * FF * 2  # gate and up
    assert kept_bytes([plain], x) == 3 * N * FF * 2


def test_another_formula_under_the_same_names_is_left_alone():
    gemma = GemmaConfig(**SIZES)
    norm, mlp = GemmaRMSNorm(D), GemmaMLP(gemma)
    assert not fuse_norm(norm)  # 1 + weight
    assert not fuse_mlp(mlp)  # gelu
    assert type(norm) is GemmaRMSNorm
    assert type(mlp) is GemmaMLP
    relu = LlamaMLP(LlamaConfig(**SIZES, hidden_act="relu"))
    assert not fuse_mlp(relu)


def test_names_and_classes_stay():
    norm, mlp = LlamaRMSNorm(D), LlamaMLP(LlamaConfig(**SIZES))
    names = list(norm.state_dict()), list(mlp.state_dict())
    assert fuse_norm(norm)
    assert fuse_mlp(mlp)
    assert (list(norm.state_dict()), list(mlp.state_dict())) == names
    assert isinstance(norm, LlamaRMSNorm)
    assert isinstance(mlp, LlamaMLP)
