"""The memory estimate against what models really hold."""

from __future__ import annotations

import gc

import pytest
import torch

from tests.allocations import measured_step
from xtune.models import build_model, choose_precision
from xtune.planning.memory import estimate_memory
from xtune.planning.tracing import LiveBytes, trace_pass

FP32 = choose_precision("cpu", "fp32")  # 'auto' is bf16 on some processors


def settings(folder, **changes):
    llm = {"type": "CausalLM", "pretrained_model_name_or_path": str(folder)}
    llm |= changes.pop("llm", {})
    return {"type": "SupervisedFinetune", "llm": llm, "adapter": {"type": "LoraConfig"}} | changes


def held(parameters):
    """Bytes, with those of the scales that bitsandbytes keeps next to packed weights."""
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


GRID = {  # method, number format, family, checkpointing, documents, chunk, micro-batches a step
    "full": ("full", "fp32", "llama", False, [256], 256, 1),
    "full in bf16 with checkpointing": ("full", "bf16", "llama", True, [256], 256, 1),
    "full, accumulated, with biases": ("full", "fp32", "qwen2", False, [128], 32, 2),
    "LoRA": ("lora", "fp32", "llama", False, [256], 64, 1),
    "LoRA in bf16, packed": ("lora", "bf16", "qwen2", False, [64] * 8, 256, 2),
    "LoRA with checkpointing": ("lora", "fp32", "llama", True, [512], 256, 1),
}


@pytest.mark.parametrize("case", GRID)
def test_a_step_takes_what_was_said_to_a_tenth(tiny_family, case):
    """The whole grid is benchmarks/memory_calibration.py's."""
    method, number, family, checkpointing, lengths, chunk, micro_batches = GRID[case]
    cfg = settings(
        tiny_family(family, width=64, layers=5, kv_heads=2),
        adapter=None if method == "full" else {"type": "LoraConfig", "r": 8},
        gradient_checkpointing=checkpointing,
        loss_chunk_size=chunk,
    )
    estimate = estimate_memory(
        cfg, choose_precision("cpu", number), lengths, accumulates=micro_batches > 1
    )
    measured = measured_step(cfg, number, lengths=lengths, micro_batches=micro_batches)
    assert estimate.total - estimate.components["runtime"] == pytest.approx(measured, rel=0.1)


def test_more_layers_take_what_fewer_say_of_them(tiny_family):
    """Two layers are run, and all are counted: what is kept grows by the same with each."""
    kept = {}
    for layers in (2, 3, 9):
        model = build_model(settings(tiny_family("llama", layers=layers)), device="meta")
        parts = trace_pass(model, FP32, lengths=[64], trained=64, with_gradients=False)
        kept[layers] = parts.layers
    assert kept[9] - kept[3] == pytest.approx(6 * (kept[3] - kept[2]))


def test_nobody_looks_for_garbage_while_storages_are_counted(tiny_llama):
    """In the middle of a pass that would clear the weak references by which they are watched."""
    model = build_model(settings(tiny_llama), device="meta")
    seen = []
    embedding = model.llm.get_input_embeddings()
    embedding.register_forward_hook(lambda *_: seen.append(gc.isenabled()))
    trace_pass(model, FP32, lengths=[64], trained=64, with_gradients=False)
    assert seen
    assert not any(seen)
    assert gc.isenabled()


def test_layers_below_the_lowest_adapter_keep_nothing(tiny_family):
    """They are not gone back through; frozen ones above it are."""

    def kept(layers, *, all_layers=6):
        adapter = {"type": "LoraConfig", "target_modules": ["q_proj"]}
        adapter |= {"layers_to_transform": layers}
        cfg = settings(tiny_family("llama", layers=all_layers), adapter=adapter)
        model = build_model(cfg, device="meta")
        return trace_pass(model, FP32, lengths=[64], trained=64, with_gradients=False).layers

    assert kept([5]) < kept([4]) < kept([3])
    assert kept([3]) - kept([4]) == pytest.approx(kept([2]) - kept([3]))
    assert kept([2, 3]) == pytest.approx(kept([0, 1], all_layers=4))


def test_a_model_is_not_changed_by_being_traced(tiny_llama):
    model = build_model(settings(tiny_llama, llm={"quantization": {"bits": 4}}), device="meta")
    before = {name: id(weight) for name, weight in model.named_parameters()}
    trace_pass(model, FP32, lengths=[64], trained=64, with_gradients=True)
    assert {name: id(weight) for name, weight in model.named_parameters()} == before
    assert not torch.is_autocast_enabled("cuda")


@pytest.mark.parametrize("checkpointing", [False, True])
def test_what_is_recomputed_is_not_held_in_the_compute_format(tiny_family, checkpointing):
    """Autocast's bf16 copies of fp32 weights: saved without checkpointing, gone with it."""
    cfg = settings(
        tiny_family("llama", width=64, layers=6),
        adapter=None,
        gradient_checkpointing=checkpointing,
    )
    model = build_model(cfg, device="meta")
    # So few tokens, 8 after rounding, that weights are all there is.
    parts = trace_pass(
        model, choose_precision("cpu", "bf16"), lengths=[2], trained=2, with_gradients=True
    )
    in_layers = sum(p.numel() for n, p in model.named_parameters() if "proj" in n)
    copies = 2 * in_layers
    assert (parts.layers > copies) == (not checkpointing)
    assert checkpointing == (parts.layers < copies / 10)


def test_seven_billion_weights_are_trained_in_eight_gib():
    """Llama-2-7B, QLoRA r=16 on 2,048 tokens, and the same with Llama-3-8B's vocabulary."""
    for name, most in (("meta-llama/Llama-2-7b-hf", 7), ("meta-llama/Meta-Llama-3-8B", 8)):
        cfg = settings(
            name,
            llm={"quantization": {"bits": 4}},
            adapter={"type": "LoraConfig", "r": 16},
            gradient_checkpointing=True,
        )
        estimate = estimate_memory(cfg, choose_precision("cpu", "bf16"), 2048, device="cuda")
        assert estimate.total / 2**30 < most


def test_adam_takes_most_of_the_memory_of_training_all_weights():
    """75 to 80 %: its moments, fp32 masters and gradients next to 16-bit weights are 12 of 16."""
    cfg = settings("meta-llama/Llama-2-7b-hf", adapter=None, gradient_checkpointing=True)
    estimate = estimate_memory(cfg, choose_precision("cpu", "bf16"), 512, device="cuda")
    held = estimate.components
    adam = held["optimizer"] + held["gradients"]
    assert 0.70 <= adam / estimate.total <= 0.80


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
    assert 6 < estimate.total / 2**30 < 9


def test_what_was_ignored_and_is_gone_hides_nothing_at_its_address():
    """Storages are known by their address, which the next one may get."""
    live = LiveBytes()
    ignored = [torch.empty(8) for _ in range(64)]
    for tensor in ignored:
        live.ignore(tensor)
    before = {tensor.untyped_storage()._cdata for tensor in ignored}
    del ignored, tensor
    with live:
        made = [torch.empty(8) for _ in range(64)]
    assert before & {tensor.untyped_storage()._cdata for tensor in made}
    assert live.now == live.peak == 64 * 8 * 4
