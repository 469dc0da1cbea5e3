"""InternLM2-Chat-7B, its weights in 4 bits, learns by DPO from 44,000 pairs of answers.

Run:       xtune train internlm2_chat_7b_dpo_qlora
Hardware:  one GPU of 12 GB: 7.9 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.qlora import *
    from .._base_.settings.dpo import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.orpo_dpo_mix import *
    from .._base_.schedules.cosine_8bit import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'internlm/internlm2-chat-7b'
prompt_template = 'internlm2_chat'
