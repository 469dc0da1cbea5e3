"""Qwen2.5-7B, its weights in 4 bits, learns to call tools from APIGen's 60,000 verified calls.

Run:       xtune train qwen2_5_7b_qlora_tools
Hardware:  one GPU of 12 GB: 8.3 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.settings.qlora import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.tools import *
    from .._base_.schedules.cosine_8bit import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'Qwen/Qwen2.5-7B'
prompt_template = 'qwen_chat'  # with its form of tools
