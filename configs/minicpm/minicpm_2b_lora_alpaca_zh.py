"""MiniCPM-2B with adapters learns to follow Alpaca's instructions in Chinese.

Run:       xtune train minicpm_2b_lora_alpaca_zh
Hardware:  one GPU of 8 GB: 6.7 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.settings.lora import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.alpaca_zh import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'openbmb/MiniCPM-2B-sft-bf16'
prompt_template = 'minicpm'
gradient_checkpointing = True
