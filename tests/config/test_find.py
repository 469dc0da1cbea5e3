from __future__ import annotations

import pytest

from xtune.cli.entry import main
from xtune.config import find_config, list_configs
from xtune.config.find import _say_what_it_is_called_here
from xtune.errors import UsageError


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


@pytest.mark.parametrize("ending", ["_e3", "_e1_gpu8", "_e3_gpu8_sp2", "_e3_8k", "_e3.py"])
def test_xtuners_names_are_found_with_a_notice(ending, caplog):
    _say_what_it_is_called_here.cache_clear()
    assert find_config(f"internlm_7b_qlora_alpaca{ending}") == find_config(
        "internlm_7b_qlora_alpaca"
    )
    (notice,) = caplog.messages
    assert "here it is internlm_7b_qlora_alpaca," in notice
    assert f"max_epochs={ending[2]}" in notice


@pytest.mark.parametrize("command", ["train", "check"])
def test_a_name_of_xtuners_that_has_no_config_here_is_unknown(command, capsys):
    assert main([command, "internlm_7b_qlora_poems_e3"]) == 2
    assert "internlm_7b_qlora" in capsys.readouterr().err
