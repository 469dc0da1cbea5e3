"""Llama-3-8B-Instruct, its weights in 4 bits, learns by ORPO from UltraFeedback's rated answers.

Run:       xtune train llama3_8b_instruct_orpo_qlora_ultrafeedback
Hardware:  one GPU of 12 GB: 8.5 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.qlora import *
    from .._base_.settings.orpo import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.ultrafeedback import *
    from .._base_.schedules.cosine_8bit import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'meta-llama/Meta-Llama-3-8B-Instruct'
prompt_template = 'llama3_chat'
