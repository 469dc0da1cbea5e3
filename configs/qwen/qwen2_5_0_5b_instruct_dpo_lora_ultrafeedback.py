"""Qwen2.5-0.5B-Instruct with adapters learns by DPO from the rated answers of UltraFeedback.

Run:       xtune train qwen2_5_0_5b_instruct_dpo_lora_ultrafeedback
Hardware:  one GPU of 4 GB: 2.0 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.dpo import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.ultrafeedback import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'Qwen/Qwen2.5-0.5B-Instruct'
prompt_template = 'qwen_chat'
gradient_checkpointing = True
