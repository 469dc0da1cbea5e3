"""Llama-3.1-8B, its weights in 4 bits, learns to follow the 52,000 instructions of Alpaca on 8 GB.

Run:       xtune train llama3_1_8b_qlora_alpaca_8gb
Hardware:  one GPU of 8 GB: 6.9 GiB estimated in bf16
Result:    not run; its family is proven on a tiny checkpoint
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.settings.qlora_8gb import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.alpaca import *
    from .._base_.schedules.cosine_8bit import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'meta-llama/Llama-3.1-8B'
prompt_template = 'default'  # a base model has no template of its own
# about 500 optimizer steps in all
save_steps = 100
evaluation_freq = 100
evaluation_inputs = ['Give three tips to stay healthy.', 'Why is the sky blue? In one sentence.']
