"""Qwen2.5-7B-Instruct, its weights in 4 bits, learns by DPO from 44,000 pairs of answers.

Run:       xtune train qwen2_5_7b_instruct_dpo_qlora_orpo_dpo_mix
Hardware:  one GPU of 12 GB: 8.3 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.qlora import *
    from .._base_.settings.dpo import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.orpo_dpo_mix import *
    from .._base_.schedules.cosine_8bit import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'Qwen/Qwen2.5-7B-Instruct'
prompt_template = 'qwen_chat'
