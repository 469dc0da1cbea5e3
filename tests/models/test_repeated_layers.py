"""A model on 'meta', of which one layer of a kind was made ready, is as if all had been."""

from __future__ import annotations

import pytest
import torch

from xtune.config import render
from xtune.models import build_model, choose_precision
from xtune.models.repeated_layers import repeated_layers

BF16 = choose_precision("cpu", "bf16")


def described(model):
    """All that can be seen of a model's modules and weights."""
    modules = [
        (name, type(module), getattr(module, "layer_idx", None), module.training)
        + (getattr(module, "gradient_checkpointing", None),)
        for name, module in model.named_modules()
    ]
    weights = [
        (name, type(p), p.shape, p.dtype, p.requires_grad, p.device.type)
        for name, p in model.named_parameters(remove_duplicate=False)
    ]
    return modules, weights


@pytest.mark.parametrize(
    "leaf",
    [
        "smollm2_135m_full_toolcall",  # all alike
        "qwen3_8b_qlora_alpaca_8gb",  # 4-bit weights, norms of heads
        "gemma3_1b_full_alpaca",  # two kinds, in turn
        "deepseek_moe_16b_lora_alpaca",  # the first is another
    ],
)
def test_it_has_the_same_modules_and_weights(leaf, monkeypatch):
    cfg = render(leaf).values["model"]
    once = build_model(cfg, device="meta", precision=BF16)
    monkeypatch.setattr("xtune.models.repeated_layers._is_for_all", lambda adapter: False)
    each = build_model(cfg, device="meta", precision=BF16)
    assert described(once) == described(each)
    for one in (once, each):
        weights = [*one.parameters()]
        assert len({id(weight) for weight in weights}) == len(weights)
        for module in one.modules():
            for weight in module.parameters(recurse=False):
                assert getattr(weight, "module", None) in (None, module)


@pytest.mark.parametrize(
    ("adapter", "policy", "made_ready"),
    [
        (None, False, 1),
        ({"target_modules": ["q_proj"]}, True, 1),
        ({"target_modules": ["q_proj"], "layers_to_transform": [1]}, True, 4),
        ({"target_modules": r".*layers\.[01]\..*q_proj"}, True, 4),
        ({"target_modules": ["layers.1.self_attn.q_proj"]}, True, 4),
        ({"target_modules": ["q_proj"], "rank_pattern": {"layers.1.*": 2}}, True, 4),
        (None, 2, 4),
    ],
)
def test_what_treats_single_layers_otherwise_has_them_all(tiny_family, adapter, policy, made_ready):
    from peft import LoraConfig

    cfg = {"type": "CausalLM", "pretrained_model_name_or_path": str(tiny_family("llama", layers=4))}
    llm = build_model({"type": "SupervisedFinetune", "llm": cfg}, device="meta").llm
    layers = llm.model.layers
    with repeated_layers(llm, layers, adapter and LoraConfig(**adapter), policy):
        assert len(layers) == made_ready
    assert [layer.self_attn.layer_idx for layer in layers] == [0, 1, 2, 3]


def test_a_model_with_weights_is_left_as_it_is(tiny_llama):
    cfg = {"type": "CausalLM", "pretrained_model_name_or_path": str(tiny_llama)}
    llm = build_model({"type": "SupervisedFinetune", "llm": cfg}).llm
    before = [*llm.model.layers]
    with repeated_layers(llm, llm.model.layers, None, False):
        assert [*llm.model.layers] == before
    assert all(torch.isfinite(weight).all() for weight in llm.parameters())
