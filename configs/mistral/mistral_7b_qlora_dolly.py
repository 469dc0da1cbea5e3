"""Mistral-7B, its weights in 4 bits, learns from 15,000 instructions written at Databricks.

Run:       xtune train mistral_7b_qlora_dolly
Hardware:  one GPU of 8 GB: 7.1 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.settings.qlora import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.dolly import *
    from .._base_.schedules.cosine_8bit import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'mistralai/Mistral-7B-v0.1'
prompt_template = 'default'  # a base model has no template of its own
