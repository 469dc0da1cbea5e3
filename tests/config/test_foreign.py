"""What XTuner's sheets, and the words of other tools, are answered with."""

from __future__ import annotations

import pytest

from xtune.cli.entry import main
from xtune.config import list_configs, render, require_valid
from xtune.config.declared import declared_names
from xtune.config.foreign import _NAMES, _OPTIONS, foreign_imports, hint, option_of
from xtune.config.foreign_configs import answer_to_config
from xtune.config.source import Line, Origin
from xtune.errors import ConfigError, UsageError
from xtune.registry import HOOKS

SHEET = """from datasets import load_dataset
from mmengine.hooks import CheckpointHook, DistSamplerSeedHook
from mmengine.optim import AmpOptimWrapper
from xtuner.dataset.map_fns import alpaca_map_fn, template_map_fn_factory
from xtuner.engine.hooks import (
    DatasetInfoHook,
    EvaluateChatHook)
from xtuner.utils import PROMPT_TEMPLATE, SYSTEM_TEMPLATE
import xtuner.model

prompt_template = PROMPT_TEMPLATE.internlm2_chat
"""


def test_a_sheet_of_xtuners_is_told_line_by_line_what_each_import_is_here(tmp_path):
    (tmp_path / "theirs.py").write_text(SHEET)
    with pytest.raises(ConfigError) as caught:
        render(tmp_path / "theirs.py")
    lines = str(caught.value).splitlines()
    told = {int(line.split(":")[1]): line for line in lines[:-1]}
    assert list(told) == [2, 3, 4, 5, 8, 9]
    assert "CheckpointHook: a hook of that name is here too, named and not imported" in told[2]
    assert "DistSamplerSeedHook: leave it out" in told[2]
    assert "AmpOptimWrapper: optimizer = dict(type='AdamW', lr=lr)" in told[3]
    assert "alpaca_map_fn: map_fn = 'alpaca'; template_map_fn_factory: leave it out" in told[4]
    assert "DatasetInfoHook: DataReportHook reports" in told[5]
    assert "EvaluateChatHook: a hook of that name is here too" in told[5]
    assert "PROMPT_TEMPLATE: prompt_template = 'internlm2_chat'" in told[8]
    assert "SYSTEM_TEMPLATE: SYSTEM = '...'" in told[8]
    assert told[9].endswith("xtuner.model is not used here")
    assert lines[-1].startswith("This is a sheet of XTuner's.")


def test_what_a_sheet_of_ours_may_import_is_left_alone():
    text = "import torch\nfrom mmengine.config import read_base\nfrom mmengine import Config\n"
    lines = [Line(line, Origin("mine.py", at)) for at, line in enumerate(text.splitlines(), 1)]
    assert foreign_imports(lines) == []


def test_hooks_that_are_said_to_be_here_are():
    said = [name for name, text in _NAMES.items() if "of that name is here too" in text]
    assert {"EvaluateChatHook", "CheckpointHook"} <= set(said) <= set(declared_names(HOOKS))
    assert {"DataReportHook", "ProgressHook", "MetricsHook", "WandbHook"} <= set(
        declared_names(HOOKS)
    )


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("learning_rate", "lr"),
        ("num_train_epochs", "max_epochs"),
        ("per_device_train_batch_size", "batch_size"),
        ("gradient_accumulation_steps", "accumulative_counts"),
        ("lora_rank", "lora.r"),
        ("lora_alpha", "lora.lora_alpha"),
        ("cutoff_len", "max_length"),
        ("model_name_or_path", "pretrained_model_name_or_path"),
        ("chat_template", "prompt_template"),
    ],
)
def test_a_peers_word_as_an_option_gets_ours(theirs, ours):
    assert option_of(theirs) == ours
    with pytest.raises(ConfigError, match=rf"no '{theirs}'; here it is {ours}\. `xtune explain"):
        render("custom_sft_lora", [f"{theirs}=1"])


def test_every_option_that_is_named_can_be_set():
    """An answer that leads into the next error would be none."""
    plain = render("custom_sft_lora").text
    for option in _OPTIONS:
        changed = render("custom_sft_lora", [option if "=" in option else f"{option}=7"])
        assert changed.text != plain, option


def test_names_of_xtuners_sheets_that_nothing_uses_are_told_what_they_are_here(tmp_path):
    text = render("custom_sft_lora").text + "load_from = None\nresume = False\n"
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(ConfigError) as caught:
        require_valid(render(tmp_path / "mine.py"), data=False)
    said = str(caught.value)
    assert "load_from = None: nothing in the sheet uses this name; to start from trained" in said
    assert "resume = False: nothing in the sheet uses this name; xtune train CONFIG --res" in said


def test_a_hook_of_xtuners_is_told_what_it_is_here():
    sheet = render("custom_sft_lora", ["custom_hooks=[{'type': 'DatasetInfoHook'}]"])
    with pytest.raises(ConfigError, match="DataReportHook reports on the data; xtune log-dataset"):
        require_valid(sheet, data=False)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("internlm2_chat_7b_dpo_lora_poems", "custom_dpo_lora --cfg-options .*data_path=YOUR_FILE"),
        (
            "internlm2_chat_7b_orpo_lora_varlenattn_poems_e5",
            'internlm/internlm2-chat-7b data_path=YOUR_FILE \'algorithm.loss={"type": "orpo"}\'',
        ),
        ("llama3_8b_reward_lora_poems", "custom_reward_lora --cfg-options .*data_path"),
        ("internlm2_chat_7b_kto_qlora", "custom_kto_lora .*=internlm/internlm2-chat-7b data_path"),
        ("POLAR_7B_full_varlenattn_custom_dataset", "reinforcement learning is not in xtune"),
        ("llava_llama3_8b_instruct_clip_vit_large_p14_336_e1_gpu8_pretrain", "pictures are not in"),
        (
            "internlm2_chat_7b_qlora_custom_sft_e1.py",
            "go into custom_sft_qlora with --cfg-options pretrained_model_name_or_path="
            "internlm/internlm2-chat-7b data_path=YOUR_FILE",
        ),
        ("mistral_7b_full_finetune_custom_sft_e1", "custom_sft_full .*mistralai/Mistral-7B-v0.1"),
        ("yi_6b_qlora_custom_dataset_e1", "custom_sft_qlora .*=01-ai/Yi-6B data_path"),
        ("qwen_72b_full_custom_pretrain_e1", "custom_pretrain_full with --cfg-options data_path"),
        ("internlm2_7b_w_tokenized_dataset", "custom_sft_full .*data_path=YOUR_FILE map_fn=tok"),
        ("deepspeed_zero3_offload", "goes with a config: --deepspeed deepspeed_zero3_offload"),
    ],
)
def test_names_of_xtuners_configs_are_answered(name, answer, capsys):
    with pytest.raises(UsageError, match=answer):
        render(name)
    assert main(["list-cfg", name.removesuffix(".py")]) == 1
    assert answer_to_config(name, list_configs()) in capsys.readouterr().err


def test_no_shipped_name_and_no_misspelling_of_one_is_taken_for_one_of_xtuners():
    known = list_configs()
    for name in known:
        assert answer_to_config(name, known) == ""
        assert answer_to_config(name[:-1], known) == ""
    assert hint("max_lenght") == ""
