"""InternLM2-Chat-1.8B, all its weights trained by DPO, learns from 44,000 pairs of answers.

Run:       xtune train internlm2_chat_1_8b_dpo_full
Hardware:  one GPU of 48 GB: 37.7 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.dpo_full import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.orpo_dpo_mix import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'internlm/internlm2-chat-1_8b'
prompt_template = 'internlm2_chat'
gradient_checkpointing = True
