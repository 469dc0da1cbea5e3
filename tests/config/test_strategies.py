"""The strategies that there are: what a sheet calls them, and what the check refuses for each."""

from __future__ import annotations

import pytest

from xtune.config import check, render
from xtune.config.strategies import (
    SHARDINGS,
    STRATEGY_WORDS,
    Traits,
    divides_state,
    sharding_of_sheet,
)

APART = Traits(family_apart="gemma2")
QUANTIZED = Traits(quantized=True)
ON_HEAD = Traits(adapter_on_head=True)


def test_the_command_lines_words():
    assert STRATEGY_WORDS == {
        "single": "SingleStrategy",
        "ddp": "DDPStrategy",
        "deepspeed": "DeepSpeedStrategy",
        "fsdp": "FSDPStrategy",
    }


@pytest.mark.parametrize(
    ("strategy", "devices", "name"),
    [
        ({"type": "SingleStrategy"}, 1, "single"),
        ({"type": "SingleStrategy"}, 2, "ddp"),
        ({"type": "DDPStrategy"}, 2, "ddp"),
        ({"type": "mine.py:Own", "offload": True}, 2, "ddp"),
        ({"type": "FSDPStrategy"}, 2, "fsdp"),
        ({"type": "FSDPStrategy", "offload": True}, 2, "fsdp+offload"),
        ({"type": "DeepSpeedStrategy", "config": "deepspeed_zero1"}, 2, "zero1"),
        ({"type": "DeepSpeedStrategy", "config": "deepspeed_zero2_offload"}, 1, "zero2+offload"),
        ({"type": "DeepSpeedStrategy", "config": "deepspeed_zero3_offload"}, 4, "zero3+offload"),
    ],
)
def test_a_sheets_strategy_has_a_name(strategy, devices, name):
    assert sharding_of_sheet(strategy, devices) is SHARDINGS[name]


def test_who_divides_the_state():
    kinds = [*STRATEGY_WORDS.values(), "mine.py:Own"]
    assert [kind for kind in kinds if divides_state(kind)] == ["DeepSpeedStrategy", "FSDPStrategy"]


@pytest.mark.parametrize(
    ("traits", "refusing"),
    [
        (Traits(), set()),
        (APART, {"zero3", "zero3+offload", "fsdp", "fsdp+offload"}),
        (QUANTIZED, {"zero3", "zero3+offload"}),
        (ON_HEAD, {"zero3", "zero3+offload"}),
    ],
)
def test_who_refuses_what(traits, refusing):
    assert {name for name, one in SHARDINGS.items() if one.refuses(traits)} == refusing


def test_a_refusal_says_what_is_given_and_what_to_do():
    assert str(SHARDINGS["fsdp"].refuses(APART)) == (
        "gemma2 is run document by document, and the processes of FSDPStrategy would not run it "
        "equally often: use DDPStrategy, or ZeRO 1 or 2 (--deepspeed deepspeed_zero2)"
    )
    assert str(SHARDINGS["zero3"].refuses(QUANTIZED)) == (
        "ZeRO 3 cannot part quantized weights: --strategy fsdp can; --deepspeed deepspeed_zero2 "
        "holds them whole on each device"
    )
    assert str(SHARDINGS["zero3"].refuses(ON_HEAD)) == (
        "ZeRO 3 cannot train an adapter on the head: leave the head out of lora.target_modules, "
        "train it whole (lora.modules_to_save=['lm_head']), or use --strategy fsdp or "
        "--deepspeed deepspeed_zero2"
    )


@pytest.mark.parametrize(
    ("config", "option", "traits"),
    [
        ("custom_sft_qlora", "seed=0", QUANTIZED),
        ("custom_sft_lora", "lora.target_modules=['q_proj','lm_head']", ON_HEAD),
    ],
)
def test_the_check_says_it_before_weights_are_loaded(config, option, traits):
    for name, refuses in (("deepspeed_zero3", True), ("deepspeed_zero2", False)):
        strategy = {"type": "DeepSpeedStrategy", "config": name}
        problems = check(render(config, [option, f"strategy={strategy!r}"]), data=False)
        refusal = SHARDINGS["zero3"].refuses(traits)
        said = [one for one in problems if refusal.message in str(one)]
        assert len(said) == refuses
        assert all(refusal.hint in str(one) for one in said)
