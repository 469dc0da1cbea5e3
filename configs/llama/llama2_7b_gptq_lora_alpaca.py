"""Llama-2-7B, published in 4 bits by GPTQ, learns the instructions of Alpaca by adapters.

Run:       xtune train llama2_7b_gptq_lora_alpaca
Hardware:  one GPU of 8 GB: 5.7 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model, packed alike, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.settings.lora import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.alpaca import *
    from .._base_.schedules.cosine_8bit import *
    from .._base_.runtimes.default import *

# Or any other in GPTQ's, AWQ's or compressed-tensors' layout: its config.json says which
pretrained_model_name_or_path = 'TheBloke/Llama-2-7B-GPTQ'
prompt_template = 'default'  # a base model has no template of its own
gradient_checkpointing = True
