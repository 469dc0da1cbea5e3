"""ChatGLM3-6B-Base, its weights in 4 bits, learns to chat from Open Assistant's best dialogues.

Run:       xtune train chatglm3_6b_qlora_oasst1
Hardware:  one GPU of 8 GB: 6.6 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.settings.qlora import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.oasst1 import *
    from .._base_.schedules.cosine_8bit import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'THUDM/chatglm3-6b-base'
prompt_template = 'default'  # a base model has no template of its own
