from __future__ import annotations

import pytest

from xtune.config import find_config, list_configs
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
    with pytest.raises(UsageError, match="internlm_7b_qlora_alpaca"):
        find_config("internlm_7b")


def test_a_missing_path_is_not_taken_for_a_name(write):
    write(there="lr = 1")
    with pytest.raises(UsageError, match=r"no config file 'elsewhere/custom_sft_lora.py'"):
        find_config("elsewhere/custom_sft_lora.py")
