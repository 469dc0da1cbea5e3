"""Qwen3-30B-A3B with adapters learns to follow the 52,000 instructions of Alpaca.

Run:       xtune train qwen3_30b_a3b_lora_alpaca
Hardware:  several GPUs of 80 GB: 144 GiB estimated in bf16 for one
Result:    not run; its family is proven on a tiny checkpoint
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.settings.lora import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.alpaca import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'Qwen/Qwen3-30B-A3B-Base'
prompt_template = 'default'  # a base model has no template of its own
# about 500 optimizer steps in all
save_steps = 100
evaluation_freq = 100
evaluation_inputs = ['Give three tips to stay healthy.', 'Why is the sky blue? In one sentence.']
