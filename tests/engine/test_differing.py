"""Two sheets: what an older one leaves out is what is taken where it does."""

from __future__ import annotations

import copy

import pytest

from xtune.config import check, flat_items, render
from xtune.engine.differing import differing

# What custom_sft_lora says, and what nobody would take without its saying so
SAID = {
    *("tokenizer.pretrained_model_name_or_path", "model.llm.pretrained_model_name_or_path"),
    *("model.adapter.r", "model.adapter.lora_alpha", "model.adapter.target_modules"),
    *("train_dataset.data_path", "train_dataset.map_fn", "train_dataset.max_length"),
    *("val_dataset.split", "val_dataset.map_fn", "val_dataset.max_length"),
    *("train_dataloader.batch_size", "optimizer.lr", "clip_grad.max_norm", "randomness.seed"),
    *("param_scheduler.warmup_ratio", "train_cfg.max_epochs", "train_cfg.val_interval"),
    *("default_hooks.checkpoint.interval", "default_hooks.checkpoint.max_keep"),
    *("custom_hooks.0.interval", "custom_hooks.0.evaluation_inputs"),
}


def without(values, key):
    made = copy.deepcopy(values)
    owner = made
    *parts, last = key.split(".")
    for part in parts:
        owner = owner[int(part)] if isinstance(owner, list) else owner[part]
    del owner[last]
    return made


def test_every_key_that_a_sheet_may_leave_out_is_one_that_an_older_run_can_lack():
    values = render("custom_sft_lora").values
    told = {key for key, _ in flat_items(values) if differing(without(values, key), values)}
    assert {key for key in told if not key.endswith(".type")} == SAID
    assert told == {key for key, _ in flat_items(values) if differing(values, without(values, key))}


def test_a_value_that_is_no_default_differs():
    values = render("custom_sft_lora", ["adapter=work_dirs/before", "loss_weights.call=2.0"]).values
    for key in ("model.adapter_folder", "train_dataset.loss_weights.call"):
        (value,) = [value for name, value in flat_items(values) if name == key]
        assert differing(without(values, key), values) == {key: (..., value)}
        assert differing(values, without(values, key)) == {key: (value, ...)}


def test_the_tokenizer_s_defaults_are_known_although_it_is_read_and_not_imported():
    values = render("custom_sft_lora", ["tokenizer.trust_remote_code=False"]).values
    assert differing(without(values, "tokenizer.trust_remote_code"), values) == {}
    values = render("custom_sft_lora", ["tokenizer.trust_remote_code=True"]).values
    assert differing(without(values, "tokenizer.trust_remote_code"), values)


# Part 2 as it was when there was one for each method
BEFORE = """# PART 2  Model & Tokenizer
tokenizer = dict(
    pretrained_model_name_or_path=pretrained_model_name_or_path,
    added_tokens=added_tokens)
model = dict(
    type='SupervisedFinetune',
    llm=dict(
        type='CausalLM',
        pretrained_model_name_or_path=pretrained_model_name_or_path,
        dtype='auto'{quantization}),
    vocabulary=dict(init='subtokens', pad_to_multiple_of=None),  # of added_tokens
{adapter}    gradient_checkpointing=gradient_checkpointing,
    activation_offload=activation_offload)

"""
NF4 = ",\n        quantization=dict(bits=4, quant_type='nf4', double_quant=True)"
ADAPTER = "    adapter=lora,\n    adapter_folder=adapter,\n"


@pytest.mark.parametrize(
    ("method", "quantization", "adapter"),
    [("full", "", ""), ("lora", "", ADAPTER), ("qlora", NF4, ADAPTER)],
)
def test_a_sheet_with_a_part_2_of_its_own_for_each_method_says_the_same(
    tmp_path, method, quantization, adapter
):
    now = render(f"custom_sft_{method}")
    settings, _, below = now.text.partition("# PART 2")
    knobs = ("algorithm = ", "quantization = ", *(() if adapter else ("lora = ", "adapter = ")))
    older = "".join(line for line in settings.splitlines(True) if not line.startswith(knobs))
    older += BEFORE.format(quantization=quantization, adapter=adapter)
    older += f"# PART 3{below.partition('# PART 3')[2]}"
    (tmp_path / "config.py").write_text(older)
    before = render(tmp_path / "config.py")
    assert "algorithm" not in before.values
    assert check(before) == []
    assert differing(before.values, now.values) == {}
    assert differing(now.values, before.values) == {}
