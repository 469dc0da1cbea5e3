"""Llama-3.1-8B-Instruct with adapters learns by SimPO from the rated answers of UltraFeedback.

Run:       xtune train llama3_1_8b_instruct_simpo_lora_ultrafeedback
Hardware:  one GPU of 24 GB: 17.1 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.lora import *
    from .._base_.settings.simpo import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.ultrafeedback import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'meta-llama/Llama-3.1-8B-Instruct'
prompt_template = 'llama3_1_chat'
gradient_checkpointing = True
