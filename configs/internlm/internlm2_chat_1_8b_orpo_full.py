"""InternLM2-Chat-1.8B, all its weights trained by ORPO, learns from 44,000 pairs of answers.

Run:       xtune train internlm2_chat_1_8b_orpo_full
Hardware:  one GPU of 40 GB: 30.6 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.orpo import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.orpo_dpo_mix import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'internlm/internlm2-chat-1_8b'
prompt_template = 'internlm2_chat'
lr = 5e-6
gradient_checkpointing = True
