"""Fused norms against the families' own code, and the norms that they must not touch."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm

from tests.models.fused.test_lora_linear import kept_bytes
from xtune.models.fused import blocks
from xtune.models.fused.rms_norm import fuse_norm

D, N = 16, 21
PLAIN = {"llama": lambda: LlamaRMSNorm(D, eps=1e-5), "qwen2": lambda: Qwen2RMSNorm(D, eps=1e-3)}


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


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("frozen", [False, True], ids=["trained", "frozen"])
def test_equals_the_family_s_own_in_fp32(kind, frozen):
    plain = stirred(PLAIN[kind]()).requires_grad_(not frozen)
    fused = copy.deepcopy(plain)
    assert fuse_norm(fused)
    torch.testing.assert_close(run(fused, states()), run(plain, states()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("weight_dtype", [torch.bfloat16, torch.float32], ids=["bf16", "fp32"])
def test_in_bf16_it_is_as_near_to_fp32_as_the_family_s_own(kind, weight_dtype):
    plain = stirred(PLAIN[kind]()).to(weight_dtype)
    exact, fused = copy.deepcopy(plain).float(), copy.deepcopy(plain)
    assert fuse_norm(fused)
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


def test_blocks_of_rows_are_the_whole(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    plain = stirred(LlamaRMSNorm(D))
    fused = copy.deepcopy(plain)
    assert fuse_norm(fused)
    for rows in (1, 4, 20):
        monkeypatch.setattr(blocks, "_CACHED", rows * D)
        torch.testing.assert_close(run(fused, states()), run(plain, states()), rtol=1e-5, atol=1e-5)


def test_another_formula_under_the_same_name_is_left_alone():
    norm = GemmaRMSNorm(D)  # 1 + weight
    assert not fuse_norm(norm)
    assert type(norm) is GemmaRMSNorm


def test_names_and_classes_stay():
    norm = LlamaRMSNorm(D)
    names = list(norm.state_dict())
    assert fuse_norm(norm)
    assert list(norm.state_dict()) == names
    assert isinstance(norm, LlamaRMSNorm)
