"""InternLM3-8B-Instruct with adapters learns to call tools from APIGen's 60,000 verified calls.

Run:       xtune train internlm3_8b_lora_tools
Hardware:  one GPU of 24 GB: 18.9 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.settings.lora import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.tools import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'internlm/internlm3-8b-instruct'
prompt_template = 'internlm3'
gradient_checkpointing = True
