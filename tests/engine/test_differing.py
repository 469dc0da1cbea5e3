"""Two sheets: what an older one leaves out is what is taken where it does."""

from __future__ import annotations

import copy

from xtune.config import flat_items, render
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
