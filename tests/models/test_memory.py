"""The memory estimate against what models really hold."""

from __future__ import annotations

import pytest
import torch

from tests.models.packs import pack, random_documents
from xtune.models import build_model, choose_precision, estimate_memory

FP32 = choose_precision("cpu", "fp32")  # 'auto' is bf16 on some processors


def settings(folder, **changes):
    llm = {"type": "CausalLM", "pretrained_model_name_or_path": str(folder)}
    llm |= changes.pop("llm", {})
    return {"type": "SupervisedFinetune", "llm": llm, "adapter": {"type": "LoraConfig"}} | changes


def held(parameters):
    """Bytes, with those of the scales that bitsandbytes keeps beside packed weights."""
    total = 0
    for parameter in parameters:
        total += parameter.numel() * parameter.element_size()
        state = getattr(parameter, "quant_state", None)
        if state is not None:
            total += state.absmax.numel() * state.absmax.element_size()
            if state.state2 is not None:
                total += state.state2.absmax.numel() * 4
    return total


@pytest.mark.parametrize("adapter", [{"type": "LoraConfig", "r": 4}, None], ids=["lora", "full"])
def test_weights_are_counted_exactly(tiny_llama, adapter):
    cfg = settings(tiny_llama, adapter=adapter)
    model = build_model(cfg, precision=FP32)
    trained = [p for p in model.parameters() if p.requires_grad]
    frozen = [p for p in model.parameters() if not p.requires_grad]
    estimate = estimate_memory(cfg, FP32, 128, 0.5)
    assert estimate.trainable == sum(p.numel() for p in trained)
    assert estimate.parameters == sum(p.numel() for p in model.parameters())
    assert estimate.components["frozen weights"] == held(frozen)
    assert estimate.components["trained weights"] == held(trained)
    assert estimate.components["optimizer"] == 2 * held(trained)


@pytest.mark.parametrize("double_quant", [True, False])
def test_packed_weights_are_counted_to_a_few_per_cent(tiny_family, double_quant):
    folder = tiny_family("llama", width=256)
    quantization = {"bits": 4, "double_quant": double_quant}
    cfg = settings(folder, llm={"quantization": quantization, "dtype": "fp32"})
    frozen = [p for p in build_model(cfg, precision=FP32).parameters() if not p.requires_grad]
    estimate = estimate_memory(cfg, FP32, 128)
    assert estimate.components["frozen weights"] == pytest.approx(held(frozen), rel=0.03)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_activations_are_estimated_to_a_third(tiny_family, checkpointing):
    folder = tiny_family("llama", width=64, layers=6)
    cfg = settings(folder, gradient_checkpointing=checkpointing)
    model = build_model(cfg, precision=FP32)
    documents = random_documents([64] * 8)
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(pack(documents), normalizer=1)
    measured = sum(size for pointer, size in kept.items() if pointer not in weights)
    estimate = estimate_memory(cfg, FP32, 512, 0.5)
    if checkpointing:  # the estimate has one layer's activations more: those of its recomputation
        whole = estimate_memory(settings(folder), FP32, 512, 0.5)
        measured += whole.components["activations"] / 6
    assert estimate.components["activations"] == pytest.approx(measured, rel=0.35)


def test_the_flagship_fits_where_it_should():
    """InternLM-7B in NF4 with LoRA r=64 on packs of 2,048: more than its weights, under 12 GB."""
    cfg = settings(
        "internlm/internlm-7b",
        llm={"quantization": {"bits": 4}},
        adapter={"type": "LoraConfig", "r": 64},
        gradient_checkpointing=True,
    )
    estimate = estimate_memory(cfg, choose_precision("cpu", "bf16"), 2048)
    assert estimate.trainable == 159_907_840
    assert 4.5 < estimate.components["frozen weights"] / 2**30 < 5
    assert 7 < estimate.total / 2**30 < 11
    lines = list(estimate.lines())
    assert lines[0].startswith("about ")
    assert len(lines) == 1 + len(estimate.components)
