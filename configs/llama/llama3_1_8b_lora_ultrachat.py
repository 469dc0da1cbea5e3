"""Llama-3.1-8B with adapters learns to chat from UltraChat's dialogues.

Run:       xtune train llama3_1_8b_lora_ultrachat
Hardware:  one GPU of 24 GB: 17.1 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.settings.lora import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.ultrachat import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'meta-llama/Llama-3.1-8B'
prompt_template = 'default'  # a base model has no template of its own
gradient_checkpointing = True
max_epochs = 1
