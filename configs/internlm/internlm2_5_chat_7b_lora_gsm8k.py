"""InternLM2.5-7B-Chat with adapters learns to work out the problems of GSM8K step by step.

Run:       xtune train internlm2_5_chat_7b_lora_gsm8k
Hardware:  one GPU of 24 GB: 16.6 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.settings.lora import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.gsm8k import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'internlm/internlm2_5-7b-chat'
prompt_template = 'internlm2_chat'
gradient_checkpointing = True
