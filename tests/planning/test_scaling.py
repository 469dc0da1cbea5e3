"""The plan behind `xtune scaling`: a tiny model by hand, and the flagship's rows."""

from __future__ import annotations

import pytest

from tests.runs import options
from tests.tiny import write_tiny_model
from xtune.config import render
from xtune.config.strategies import SHARDINGS, Traits
from xtune.models import choose_precision
from xtune.parallel.links import Links
from xtune.planning.memory import estimate_memory
from xtune.planning.scaling import Hardware, plan_scaling, strategy_that_fits

LINKS = Links(intra=100e9, inter=10e9, memory=20e9, per_host=2)
CARD = Hardware(memory=80, links=LINKS, flops=100e12, utilisation=0.5)
FP32 = choose_precision("cpu", "fp32")
BF16 = choose_precision("cpu", "bf16")


def cfg_of(inputs, *further, config):
    chosen = [*options(inputs), "batch_size=3", *further]
    with_adapter = config != "custom_sft_full"
    return render(config, [o for o in chosen if with_adapter or not o.startswith("lora.")]).values


def plan(inputs, *further, config="custom_sft_full", devices=(1, 2, 4), card=CARD, precision=FP32):
    return plan_scaling(cfg_of(inputs, *further, config=config), devices, card, precision)


def row_of(made, devices, strategy):
    return next(row for row in made.rows if (row.devices, row.strategy) == (devices, strategy))


def test_a_tiny_model_by_hand(inputs):
    made = plan(inputs)
    size = made.estimate.parameters
    assert made.tokens == 3 * 128
    assert made.micro_batches == 2
    assert made.seconds == pytest.approx(made.flops / 50e12)
    assert [(row.devices, row.strategy) for row in made.rows] == [
        (1, "single"),
        *((n, name) for n in (2, 4) for name in ("ddp", "zero1", "zero2", "zero3", "fsdp")),
    ]
    alone = row_of(made, 1, "single")
    assert alone.held == made.estimate.components
    assert (alone.sent, alone.seconds, alone.share) == (0, 0, 0)
    two, four = (row_of(made, n, "ddp") for n in (2, 4))
    assert two.sent == 4 * size  # 2 x 1/2 x fp32 gradients
    assert four.sent == 6 * size
    assert two.seconds == pytest.approx(two.sent / 100e9)  # in one host
    assert four.seconds == pytest.approx(four.sent / 10e9)  # two hosts
    assert four.share == pytest.approx(four.seconds / made.seconds)
    divided = row_of(made, 4, "zero3")
    assert divided.held["trained weights"] == size
    assert divided.sent == 2 * (4 + 2 * 4) * size * 3 / 4
    # two layers of two, and what stands outside of them, which the norm at the end does not
    assert divided.held["whole layers"] == pytest.approx(4 * size, rel=0.01)


def test_weights_are_gathered_in_the_compute_format(inputs):
    made = plan(inputs, precision=BF16)
    assert row_of(made, 4, "fsdp").sent == 2 * (4 + 2 * 2) * made.estimate.parameters * 3 / 4


def test_with_an_adapter_only_it_is_exchanged_and_the_base_is_divided_by_stage_3(inputs):
    made = plan(inputs, config="custom_sft_lora")
    assert made.estimate.trainable < made.estimate.parameters / 4
    assert row_of(made, 2, "ddp").sent == 4 * made.estimate.trainable
    frozen = made.estimate.components["frozen weights"]
    assert row_of(made, 2, "zero2").held["frozen weights"] == frozen
    assert row_of(made, 2, "zero3").held["frozen weights"] == frozen / 2
    sent = row_of(made, 2, "zero3").sent
    assert sent == 2 * (4 * made.estimate.trainable * 3 + 2 * frozen) / 2
    # fsdp adds up the gradients of the two micro-batches, and exchanges them once
    assert row_of(made, 2, "fsdp").sent == sent - 4 * made.estimate.trainable / 2


def test_offload_is_shown_where_it_would_not_fit_without(inputs):
    small = Hardware(memory=0.6, links=LINKS, flops=1e12, utilisation=0.5)
    made = plan(inputs, devices=(1, 2), card=small)
    assert {row.fits for row in made.rows} == {False}  # the runtime alone is too large
    assert [row.strategy for row in made.rows if row.devices == 2] == [
        *("ddp", "zero1", "zero2", "zero2+offload"),
        *("zero3", "zero3+offload", "fsdp", "fsdp+offload"),
    ]
    one = [row for row in made.rows if row.devices == 1]
    assert [row.strategy for row in one] == ["single", "zero2+offload", "zero3+offload"]
    offloaded = row_of(made, 2, "zero2+offload")
    assert "optimizer" not in offloaded.held
    assert offloaded.host["optimizer"] == 12 * made.estimate.parameters / 2
    assert offloaded.seconds > row_of(made, 2, "zero2").seconds


def test_zero_has_16_bit_weights_and_fp32_masters_where_all_is_trained(inputs):
    made = plan(inputs, devices=[2], precision=BF16)
    size = made.estimate.parameters
    held = row_of(made, 2, "zero1").held
    assert held["trained weights"] == held["gradients"] == 2 * size
    assert held["optimizer"] == 12 * size / 2
    assert held["buckets"] == 2 * size
    held = row_of(made, 2, "fsdp").held
    assert held["trained weights"] == held["gradients"] == 4 * size / 2
    assert held["optimizer"] == 8 * size / 2
    assert "buckets" not in held


def test_an_adapter_is_fp32_and_so_are_its_masters(inputs):
    made = plan(inputs, devices=[2], config="custom_sft_lora", precision=BF16)
    held = row_of(made, 2, "zero2").held
    assert held["trained weights"] == 4 * made.estimate.trainable
    assert held["optimizer"] == 12 * made.estimate.trainable / 2
    assert row_of(made, 2, "fsdp").held["gradients"] == 4 * made.estimate.trainable


def test_what_a_strategy_refuses_has_no_rows_and_a_reason(inputs, tmp_path):
    quantized = plan(inputs, devices=[4], config="custom_sft_qlora")
    assert quantized.refused == {"zero3": str(SHARDINGS["zero3"].refuses(Traits(quantized=True)))}
    assert {row.strategy for row in quantized.rows} == {"ddp", "zero1", "zero2", "fsdp"}
    write_tiny_model(tmp_path / "gemma2", "gemma2")
    folder = f"pretrained_model_name_or_path={tmp_path / 'gemma2'}"
    apart = plan(inputs, folder, devices=[4])
    traits = Traits(family_apart="gemma2")
    assert apart.refused == {
        name: str(SHARDINGS[name].refuses(traits)) for name in ("zero3", "fsdp")
    }
    assert {row.strategy for row in apart.rows} == {"ddp", "zero1", "zero2"}
    # Where GPUs have kernels that cap scores, in 16 bits, it is run as any other
    on_gpus = plan(inputs, folder, devices=[4], precision=BF16)
    assert (on_gpus.refused, on_gpus.needs_kernels) == ({}, "gemma2")
    assert {row.strategy for row in on_gpus.rows} == {"ddp", "zero1", "zero2", "zero3", "fsdp"}
    assert apart.needs_kernels == plan(inputs, devices=[4], precision=BF16).needs_kernels == ""


def test_the_components_are_those_of_the_estimate(inputs):
    cfg = cfg_of(inputs, config="custom_sft_qlora")
    made = plan_scaling(cfg, [1], CARD, BF16)
    assert made.estimate == estimate_memory(cfg["model"], BF16, [128] * 3, device="cuda")


def test_a_model_that_each_device_can_hold_is_not_sharded(inputs):
    cfg = cfg_of(inputs, config="custom_sft_full")
    assert strategy_that_fits(cfg, 2, memory=24, precision=BF16) == "ddp"
    assert strategy_that_fits(cfg, 2, memory=1e-6, precision=BF16) == "fsdp"


def test_an_optimizer_that_cannot_be_divided_is_counted_where_it_is_whole(inputs):
    """With 8-bit moments on one card and under ddp; ZeRO takes AdamW."""
    eight = plan(inputs, "optimizer.type=PagedAdamW8bit", devices=[1, 2])
    plain = plan(inputs, devices=[1, 2])
    for devices, strategy in ((1, "single"), (2, "ddp")):
        ours, adam = (row_of(made, devices, strategy).held["optimizer"] for made in (eight, plain))
        assert ours < adam == 8 * plain.estimate.parameters
    assert row_of(eight, 2, "zero1") == row_of(plain, 2, "zero1")
