"""A setting that a family would compute otherwise is an error with its name, not another model."""

from __future__ import annotations

import pytest

from tests.models.families.cases import deepseek_moe, gpt_oss
from xtune.errors import ModelError
from xtune.models.families import translated_config


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (deepseek_moe.CONFIG | {"norm_topk_prob": True}, "norm_topk_prob to True.* only False"),
        (deepseek_moe.CONFIG | {"scoring_func": "sigmoid"}, "scoring_func to 'sigmoid'"),
        (deepseek_moe.CONFIG | {"rope_scaling": {"type": "linear"}}, "rope_scaling to "),
        (
            gpt_oss.CONFIG | {"quantization_config": {"quant_method": "gptq"}},
            "packed as 'gptq'; gpt-oss is read from MXFP4",
        ),
    ],
)
def test_a_setting_that_is_not_supported_is_named(fields, message):
    with pytest.raises(ModelError, match=message):
        translated_config(fields)
