"""BLOOM-7B1 with adapters learns to follow the 52,000 instructions of Alpaca.

Run:       xtune train bloom_7b1_lora_alpaca
Hardware:  one GPU of 24 GB: 16.5 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.settings.lora import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.alpaca import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'bigscience/bloom-7b1'
prompt_template = 'bloom_chat'
gradient_checkpointing = True
