"""What runs need against what was published of them, and the least change that makes one fit."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tests.runs import options
from tests.tiny import write_tiny_llama, write_tiny_model
from xtune.config import render
from xtune.config.recipe import recipe_of
from xtune.config.strategies import SHARDINGS, Traits
from xtune.models import build_model, choose_precision
from xtune.optim.optimizers import state_bytes
from xtune.planning.advice import advice_for, advice_lines
from xtune.planning.memory import cache_bytes
from xtune.planning.requirement import (
    FULL,
    DeviceMemory,
    MicroBatch,
    need_of,
    place_of,
)

BF16 = choose_precision("cpu", "bf16")
PLACE = DeviceMemory("cpu", None, 2)
FALCON_180B = {
    "model_type": "falcon",
    "architectures": ["FalconForCausalLM"],
    "hidden_size": 14848,
    "num_hidden_layers": 80,
    "num_attention_heads": 232,
    "num_kv_heads": 8,
    "new_decoder_architecture": True,
    "parallel_attn": True,
    "bias": False,
    "alibi": False,
    "vocab_size": 65024,
}
LLAMA_13B = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 5120,
    "intermediate_size": 13824,
    "num_hidden_layers": 40,
    "num_attention_heads": 40,
    "num_key_value_heads": 40,
    "vocab_size": 32000,
}


def architecture(folder: Path, config: dict) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def values_of(config, folder, *further):
    return render(config, [f"pretrained_model_name_or_path={folder}", *further]).values


@pytest.mark.parametrize(
    ("config", "strategy", "least", "published"),
    [
        # Hugging Face, "Spread your wings: Falcon 180B is here", cards of 80 GB
        ("custom_sft_qlora", "{'type': 'FSDPStrategy'}", 1, 2),  # 160 GB
        (
            "custom_sft_lora",
            "{'type': 'DeepSpeedStrategy', 'config': 'deepspeed_zero3'}",
            4,
            16,  # 1,280 GB: two nodes
        ),
        (
            "custom_sft_full",
            "{'type': 'DeepSpeedStrategy', 'config': 'deepspeed_zero3'}",
            32,
            64,  # 5,120 GB: eight nodes
        ),
    ],
    ids=["QLoRA", "LoRA with ZeRO 3", "full"],
)
def test_falcon_180b_fits_the_cards_it_is_said_to(tmp_path, config, strategy, least, published):
    """On as many cards as was published, and not on the number before the last step."""
    folder = architecture(tmp_path, FALCON_180B)
    values = values_of(
        config, folder, "gradient_checkpointing=True", "max_length=512", f"strategy={strategy}"
    )
    assert need_of(values, BF16, DeviceMemory("cuda", 80, published)).fits(
        DeviceMemory("cuda", 80, published)
    )
    assert not need_of(values, BF16, DeviceMemory("cuda", 80, least)).fits(
        DeviceMemory("cuda", 80, least)
    )


def test_llama_13b_keeps_a_published_17_gigabytes_a_sequence(tmp_path):
    """Kwon et al. 2023, PagedAttention, section 1: up to 1.7 GB for one of LLaMA-13B."""
    llm = {
        "type": "CausalLM",
        "pretrained_model_name_or_path": str(architecture(tmp_path, LLAMA_13B)),
    }
    model = build_model({"type": "SupervisedFinetune", "llm": llm}, device="meta")
    assert cache_bytes(model.llm, 2048) / 1e9 == pytest.approx(1.7, rel=0.02)


@pytest.mark.parametrize(
    ("optimizer", "bytes_a_number"),
    [
        ({"type": "AdamW"}, 8),
        ({"type": "torch.optim.AdamW"}, 8),
        ({"type": "torch.optim.SGD"}, 0),
        ({"type": "torch.optim.SGD", "momentum": 0.9}, 4),
        ({"type": "torch.optim.Adafactor"}, 4 * (512 + 1024) / (512 * 1024)),
        ({"type": "PagedAdamW32bit"}, 8),
        ({"type": "AdamW8bit"}, 2 + 2 * 4 / 256),
        ({"type": "PagedAdamW8bit"}, 2 + 2 * 4 / 256),
        ({"type": "bitsandbytes.optim.Lion"}, 4),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else None,
)
def test_an_optimizer_is_counted_by_the_state_it_makes(optimizer, bytes_a_number):
    model = nn.Linear(512, 1024, bias=False, device="meta")
    size = state_bytes(model, {"lr": 1e-3, **optimizer})
    assert size == pytest.approx(bytes_a_number * 512 * 1024, abs=64)


def test_the_least_change_is_one_that_fits_and_changes_no_result(inputs, tmp_path):
    wide = write_tiny_llama(tmp_path / "wide", width=256)  # much of a short row
    chosen = [o for o in options(inputs) if not o.startswith("lora.")]
    chosen += [f"pretrained_model_name_or_path={wide}", "max_length=2048"]
    cfg = render("custom_sft_full", chosen).values
    needs = need_of(cfg, BF16, DeviceMemory("cuda", None))
    place = DeviceMemory("cuda", (needs.gib - 0.01) / 0.9)
    assert not needs.fits(place)
    advice = advice_for(cfg, BF16, place)
    assert advice is not None
    assert advice.need.fits(place)
    assert [change.option for change in advice.changes] == ["gradient_checkpointing=True"]
    again = render("custom_sft_full", [*chosen, advice.words.split()[1]]).values
    assert need_of(again, BF16, place) == advice.need


@pytest.mark.parametrize(
    ("options", "gib", "advised"),
    [
        ([], 8.3, "--cfg-options lora.r=32"),  # 7.2 GiB, of which 10 % are left free
        (["optimizer.type=AdamW"], 9.0, "--cfg-options optimizer.type=PagedAdamW8bit"),
        ([], 8.4, "--cfg-options activation_offload=True"),
    ],
)
def test_what_an_adapter_can_spare_comes_before_shorter_samples(options, gib, advised):
    cfg = render("internlm2_7b_qlora_alpaca", options).values
    advice = advice_for(cfg, BF16, DeviceMemory("cuda", gib))
    assert advice.words == advised


def test_advice_to_train_an_adapter_is_an_option_that_the_sheet_takes(inputs, tmp_path):
    wide = write_tiny_llama(tmp_path / "wide", width=256)
    chosen = [o for o in options(inputs) if not o.startswith("lora.")]
    chosen += [f"pretrained_model_name_or_path={wide}", "max_length=256"]
    option = "lora={'type': 'LoraConfig', 'r': 16, 'lora_alpha': 32}"
    place = DeviceMemory("cpu", None)
    less = need_of(render("custom_sft_full", [*chosen, option]).values, BF16, place)
    full = render("custom_sft_full", chosen).values
    advice = advice_for(full, BF16, DeviceMemory("cpu", (less.gib + 0.001) / 0.9))
    assert advice.words == f'--cfg-options "{option}"'
    assert advice.need == less


def test_advice_to_offload_says_what_the_host_must_hold_and_what_to_install():
    """8 billion weights: 4 bytes each of masters, of gradients, and 8 of moments."""
    place = DeviceMemory("cuda", 24.0)
    advice = advice_for(render("llama3_8b_full_alpaca").values, BF16, place)
    (change,) = advice.changes
    assert change.flag == "--deepspeed deepspeed_zero2_offload"
    assert advice.need.host == pytest.approx(16 * advice.need.estimate.parameters, rel=1e-6)
    said = "\n".join(advice_lines(advice, place))
    assert f"besides, {advice.need.host / 2**30:.1f} GiB of the host's memory" in said
    assert "slower; needs the package: pip install deepspeed" in said


def test_what_waits_in_the_host_is_counted_there():
    cfg = render("qwen2_5_7b_qlora_alpaca_8gb").values
    need = need_of(cfg, BF16, DeviceMemory("cuda", 8.0))
    assert need.host == 28 * 2048 * 3584 * 2  # layers, tokens, width, bytes
    assert f"{need.host / 2**30:8.2f} GiB  of the host's memory, for each device" in need.lines()


def test_where_nothing_fits_there_is_no_advice(inputs):
    cfg = render("custom_sft_qlora", options(inputs)).values
    assert advice_for(cfg, BF16, DeviceMemory("cuda", 0.01)) is None


def test_a_reference_of_its_own_need_not_stay_in_memory(tmp_path):
    wide = write_tiny_llama(tmp_path / "wide", width=256)
    chosen = [f"pretrained_model_name_or_path={wide}", "max_length=64", "lora=None"]
    ref = {"type": "CausalLM", "pretrained_model_name_or_path": str(wide)}
    full = render("custom_dpo_lora", [*chosen, f"algorithm.ref={ref!r}"]).values
    option = "algorithm.precompute_reference=True"
    less = need_of(
        render("custom_dpo_lora", [*chosen, option]).values, BF16, DeviceMemory("cpu", None)
    )
    place = DeviceMemory("cpu", (less.gib + 0.0005) / 0.9)
    advice = advice_for(full, BF16, place)
    assert advice.words == f"--cfg-options {option}"
    assert advice.need == less


def test_a_reward_model_makes_no_logits_of_which_fewer_could_be_held(inputs):
    cfg = render("custom_reward_lora", [f"pretrained_model_name_or_path={inputs.model}"]).values
    assert advice_for(cfg, BF16, DeviceMemory("cuda", 0.01)) is None


class Rows:
    """A data set that knows its longest items, or one of a user's own that does not."""

    def __init__(self, *lengths, percent=25.0):
        self.report = SimpleNamespace(trained_percent=percent)
        if lengths:
            self.longest = lambda count: list(lengths[:count])


def test_a_micro_batch_is_as_long_as_the_data_make_it_and_max_length_allows():
    values = render("custom_sft_lora", ["max_length=2048", "batch_size=2"]).values
    recipe, shorter = recipe_of(values), recipe_of({**values, "train_dataset": {"max_length": 512}})
    known = MicroBatch.of(recipe, Rows(900, 300, 7))
    assert known == MicroBatch((900, 300), 0.25)
    assert (known.rows(recipe), known.rows(shorter)) == ([900, 300], [512, 300])
    assert (
        known.words(recipe) == "in a micro-batch of 1,200 tokens, the longest that these data make"
    )
    for unknown in (FULL, MicroBatch.of(recipe, Rows(percent=0.0))):
        assert unknown == MicroBatch(None, 1.0)
        assert (unknown.rows(recipe), unknown.rows(shorter)) == ([2048, 2048], [512, 512])
        assert "4,096 tokens: the data are not read yet, so 2 rows are" in unknown.words(recipe)


@pytest.mark.parametrize(
    ("family", "kind", "refused"),
    [
        ("gemma2", "cpu", True),
        ("gemma2", "cuda", False),  # kernels of GPUs cap its scores: the run will know
        ("bloom", "cuda", True),
        ("llama", "cpu", False),
    ],
)
def test_what_a_strategy_is_known_to_refuse_is_said_with_what_it_needs(
    family, kind, refused, tmp_path
):
    folder = write_tiny_model(tmp_path / family, family)
    cfg = values_of("custom_sft_full", folder, "strategy={'type': 'FSDPStrategy'}")
    refusal = SHARDINGS["fsdp"].refuses(Traits(family_apart=family))
    need = need_of(cfg, BF16, DeviceMemory(kind, None, 2))
    assert need.refusal == (str(refusal) if refused else None)
    assert need_of({**cfg, "strategy": {"type": "DDPStrategy"}}, BF16, PLACE).refusal is None


def test_no_strategy_is_advised_that_refuses_the_model(tmp_path):
    cfg = values_of("custom_sft_full", write_tiny_model(tmp_path / "bloom", "bloom"))
    zero_3 = {"type": "DeepSpeedStrategy", "config": "deepspeed_zero3"}
    refused = need_of({**cfg, "strategy": zero_3}, BF16, DeviceMemory("cuda", None, 64))
    place = DeviceMemory("cuda", (refused.gib + 1e-4) / 0.9, 64)
    assert refused.fits(place)  # it would have been advised
    advice = advice_for(cfg, BF16, place)
    flags = [] if advice is None else [change.flag for change in advice.changes]
    assert not {"--strategy fsdp", "--deepspeed deepspeed_zero3"} & set(flags)


def test_this_machine_has_some_memory():
    place = place_of(torch.device("cpu"))
    assert place.gib is None or 0 < place.gib < 100_000
