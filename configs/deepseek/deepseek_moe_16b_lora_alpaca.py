"""DeepSeekMoE-16B with adapters learns to follow the 52,000 instructions of Alpaca.

Run:       xtune train deepseek_moe_16b_lora_alpaca
Hardware:  one GPU of 40 GB: 31.3 GiB estimated in bf16
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

pretrained_model_name_or_path = 'deepseek-ai/deepseek-moe-16b-base'
prompt_template = 'default'  # a base model has no template of its own
# about 500 optimizer steps in all
save_steps = 100
evaluation_freq = 100
evaluation_inputs = ['Give three tips to stay healthy.', 'Why is the sky blue? In one sentence.']
