"""Llama-2-7B, its weights in 4 bits, learns to be a ReAct agent from ModelScope's MSAgent-Bench.

Run:       xtune train llama2_7b_qlora_msagent_react
Hardware:  one GPU of 8 GB: 6.7 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.settings.qlora import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.msagent_react import *
    from .._base_.schedules.cosine_8bit import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'meta-llama/Llama-2-7b-hf'
prompt_template = 'default'  # a base model has no template of its own
