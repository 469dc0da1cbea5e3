"""What a run asks of its sheet, read once."""

from __future__ import annotations

import copy
from dataclasses import FrozenInstanceError, asdict

import pytest

from xtune.config import render
from xtune.config.recipe import recipe_of
from xtune.errors import ModelError

NF4 = {"bits": 4, "quant_type": "nf4", "double_quant": True}


def recipe(*options, config="custom_sft_qlora"):
    return recipe_of(render(config, options).values)


def test_every_field_is_what_the_sheet_says():
    found = recipe(
        "pretrained_model_name_or_path=owner/name",
        "model.llm.trust_remote_code=True",
        "model.llm.dtype=fp16",
        "lora={'type': 'LoraConfig', 'r': 4}",
        "gradient_checkpointing=auto",
        "max_length=100",
        "batch_size=3",
        "accumulative_counts=5",
        "sequence_parallel_size=2",
        "optimizer.type=AdamW8bit",
        "strategy={'type': 'DDPStrategy', 'precision': 'bf16'}",
        "seed=7",
        "SYSTEM=Be brief.",
    )
    assert asdict(found) == {
        "base_model": "owner/name",
        "trust_remote_code": True,
        "dtype": "fp16",
        "quantization": NF4,
        "adapter": {"type": "LoraConfig", "r": 4},
        "adapter_folder": None,
        "checkpointing": "auto",
        "tokenizer": "owner/name",
        "max_length": 100,
        "longest": 100,
        "rows": 3,
        "micro_batches": 5,
        "sharing": 2,
        "optimizer": "AdamW8bit",
        "strategy": "DDPStrategy",
        "precision": "bf16",
        "seed": 7,
        "system": "Be brief.",
        "tools": {},
    }
    with pytest.raises(FrozenInstanceError):
        found.seed = 8


def test_what_is_left_out_is_what_is_taken_where_it_is():
    values = copy.deepcopy(render("custom_sft_full").values)
    for section, key in (
        ("model", "gradient_checkpointing"),
        ("model", "adapter"),
        ("train_cfg", "accumulative_counts"),
        ("strategy", "precision"),
    ):
        del values[section][key]
    for key in ("parallel", "val_dataset", "SYSTEM"):
        del values[key]
    found = recipe_of(values)
    assert (found.checkpointing, found.adapter, found.micro_batches) == (False, None, 1)
    assert (found.precision, found.sharing, found.system, found.longest) == ("auto", 1, "", 2048)


def test_validation_data_count_where_there_are_some():
    assert recipe("val_dataset.max_length=4096").longest == 2048
    given = ("val_data_path=rows.jsonl", "val_dataset.max_length=4096")
    assert (recipe(*given).longest, recipe(*given).full_item) == (4096, 2048)


def test_every_weight_is_trained_where_there_is_no_adapter():
    assert recipe().trains_adapter
    assert recipe("lora=None", "adapter=work_dirs/before").trains_adapter
    assert not recipe(config="custom_sft_full").trains_adapter


def test_the_tools_of_an_agent_s_data_are_named():
    assert "calculator" in recipe(config="smollm2_135m_lora_agent").tools


def test_of_parts_of_the_user_s_own_some_things_are_not_known():
    values = copy.deepcopy(render("custom_sft_full").values)
    values["model"]["llm"] = {"type": "mine.py:Model"}
    del values["train_dataset"]["max_length"]
    found = recipe_of(values)
    assert (found.base_model, found.max_length, found.longest) == (None, None, None)
    with pytest.raises(ModelError, match="train_dataset has no max_length"):
        _ = found.full_item
