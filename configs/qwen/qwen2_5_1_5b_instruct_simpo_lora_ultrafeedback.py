"""Qwen2.5-1.5B-Instruct with adapters learns by SimPO from the rated answers of UltraFeedback.

Run:       xtune train qwen2_5_1_5b_instruct_simpo_lora_ultrafeedback
Hardware:  one GPU of 6 GB: 4.2 GiB estimated in bf16
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

pretrained_model_name_or_path = 'Qwen/Qwen2.5-1.5B-Instruct'
prompt_template = 'qwen_chat'
gradient_checkpointing = True
