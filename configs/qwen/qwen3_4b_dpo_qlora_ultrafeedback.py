"""Qwen3-4B, its weights in 4 bits, learns by DPO from the rated answers of UltraFeedback.

Run:       xtune train qwen3_4b_dpo_qlora_ultrafeedback
Hardware:  one GPU of 6 GB: 5.0 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.qlora import *
    from .._base_.settings.dpo import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.ultrafeedback import *
    from .._base_.schedules.cosine_8bit import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'Qwen/Qwen3-4B'
prompt_template = 'qwen3_no_thinking'  # the answers have no thinking apart
