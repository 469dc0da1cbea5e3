from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from xtune.cli.entry import main
from xtune.config import find_config, list_configs, render
from xtune.config.find import xtuners_name
from xtune.config.rendering import _say_what_it_is_called_here
from xtune.errors import UsageError

REPOSITORY = Path(__file__).parents[2]


def test_names_are_stems_of_leaves_and_not_of_parts():
    found = list_configs()
    assert found["smollm2_135m_lora_toolcall"].name == "smollm2_135m_lora_toolcall.py"
    assert list(found) == sorted(found)
    assert not [path for path in found.values() if "_base_" in path.parts]


def test_a_pattern_ignores_case():
    assert set(list_configs("QLoRA")) == {name for name in list_configs() if "qlora" in name}
    assert list_configs("QLoRA")


def test_a_name_a_name_with_suffix_and_a_path_find_the_same_file():
    path = find_config("custom_sft_lora")
    assert find_config("custom_sft_lora.py") == path
    assert find_config(str(path)) == path


def test_a_file_here_comes_before_a_shipped_name(write):
    mine = write(custom_sft_lora="lr = 1")
    assert find_config("custom_sft_lora.py") == mine
    assert find_config("custom_sft_lora") != mine


def test_an_unknown_name_lists_near_ones():
    with pytest.raises(UsageError, match="smollm2_135m_lora_toolcall") as caught:
        find_config("smolm2_135m_lora_toolcal")
    assert "xtune list-cfg" in str(caught.value)


def test_part_of_a_name_lists_what_contains_it():
    with pytest.raises(UsageError, match="near it: internlm_7b_"):
        find_config("internlm_7b")


def test_a_missing_path_is_not_taken_for_a_name(write):
    write(there="lr = 1")
    with pytest.raises(UsageError, match=r"no config file 'elsewhere/custom_sft_lora.py'"):
        find_config("elsewhere/custom_sft_lora.py")


@pytest.mark.parametrize(
    "ending",
    [
        "_e3",
        "_e1_gpu8",
        "_e3_gpu8_sp2",
        "_e3_8k",
        "_e3.py",
        "_gpu8",
        "_e3_8k_gpu8",
        "_sp4",
    ],
)
def test_xtuners_names_are_found(ending):
    ours = "internlm_7b_qlora_alpaca"
    assert find_config(f"{ours}{ending}") == find_config(ours)
    assert xtuners_name(f"{ours}{ending}") == (ours, int(ending[2]) if "_e" in ending else None)


@pytest.mark.parametrize(
    ("theirs", "ours", "epochs"),
    [
        ("internlm2_chat_1_8b_dpo_full_varlenattn", "internlm2_chat_1_8b_dpo_full", None),
        ("internlm2_chat_7b_dpo_qlora_varlenattn.py", "internlm2_chat_7b_dpo_qlora", None),
        ("llama3_8b_instruct_dpo_qlora_varlenattn", "llama3_8b_instruct_dpo_qlora", None),
        ("internlm2_chat_1_8b_orpo_full_varlenattn", "internlm2_chat_1_8b_orpo_full", None),
        *(
            (f"internlm2_chat_1_8b_{method}_full_varlenattn_jsonl_dataset", ours, None)
            for method in ("dpo", "orpo", "reward")
            for ours in (f"internlm2_chat_1_8b_{method}_full_jsonl_dataset",)
        ),
        (
            "internlm2_chat_1_8b_reward_full_varlenattn_ultrafeedback",
            "internlm2_chat_1_8b_reward_full_ultrafeedback",
            None,
        ),
        (
            "internlm2_chat_1_8b_reward_qlora_varlenattn_ultrafeedback",
            "internlm2_chat_1_8b_reward_qlora_ultrafeedback",
            None,
        ),
        (
            "llama3_8b_instruct_reward_full_varlenattn_ultrafeedback",
            "llama3_8b_instruct_reward_full_ultrafeedback",
            None,
        ),
        (
            "internlm2_chat_7b_orpo_qlora_varlenattn_ultrafeedback_e5",
            "internlm2_chat_7b_orpo_qlora_ultrafeedback",
            5,
        ),
        (
            "llama3_8b_instruct_orpo_qlora_varlenattn_ultrafeedback_e5",
            "llama3_8b_instruct_orpo_qlora_ultrafeedback",
            5,
        ),
    ],
)
def test_xtuners_names_of_preference_configs_are_found(theirs, ours, epochs):
    assert xtuners_name(theirs) == (ours, epochs)
    assert find_config(theirs) == find_config(ours)


@pytest.mark.parametrize(
    "other", ["internlm_7b_qlora_alpaca", "a/internlm_7b_qlora_alpaca_e3", "_e3", "poems_e3"]
)
def test_other_names_are_not_taken_for_xtuners(other):
    assert xtuners_name(other) is None


@pytest.mark.parametrize(
    "command", ["check", "explain", "copy-cfg", pytest.param("train", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    ("ending", "notice"),
    [
        ("_e3", "which trains 3 epochs too"),
        ("_e9_gpu8", "which trains 3, not 9 epochs: --cfg-options max_epochs=9"),
        ("_gpu8", "which any number of GPUs trains: NPROC_PER_NODE=8"),
    ],
)
def test_a_verb_says_once_what_xtuners_name_is_here(command, ending, notice, tmp_path, caplog):
    _say_what_it_is_called_here.cache_clear()
    theirs = f"internlm_7b_qlora_alpaca{ending}"
    more = {"copy-cfg": [str(tmp_path)], "train": ["--dry-run", "--work-dir", str(tmp_path / "w")]}
    assert main([command, theirs, *more.get(command, [])]) == 0
    (said,) = [text for text in caplog.messages if "XTuner" in text]
    assert said.startswith(f"XTuner's {theirs} is here internlm_7b_qlora_alpaca, ")
    assert notice in said


def test_the_epochs_of_xtuners_name_are_not_set():
    assert render("internlm_7b_qlora_alpaca_e9").text == render("internlm_7b_qlora_alpaca").text


def test_the_notice_is_on_stderr():
    words = [sys.executable, "tools/check.py", "internlm_7b_qlora_alpaca_e3"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert "XTuner's internlm_7b_qlora_alpaca_e3 is here" in done.stderr
    assert "XTuner's" not in done.stdout


@pytest.mark.parametrize("command", ["train", "check", "explain"])
def test_a_name_of_xtuners_that_has_no_config_here_is_unknown(command, capsys):
    assert main([command, "internlm_7b_qlora_poems_e3"]) == 2
    assert "internlm_7b_qlora" in capsys.readouterr().err
