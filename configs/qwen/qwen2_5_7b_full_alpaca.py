"""Qwen2.5-7B, all its weights trained, learns to follow the 52,000 instructions of Alpaca.

Run:       xtune train qwen2_5_7b_full_alpaca
Hardware:  one GPU of 141 GB: 119 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.alpaca import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'Qwen/Qwen2.5-7B'
prompt_template = 'default'  # a base model has no template of its own
gradient_checkpointing = True
