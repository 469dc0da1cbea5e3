"""Yi-6B, its weights in 4 bits, learns from Firefly's 1.1 million Chinese instructions.

Run:       xtune train yi_6b_qlora_firefly
Hardware:  one GPU of 8 GB: 6.6 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.settings.qlora import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.firefly import *
    from .._base_.schedules.cosine_8bit import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = '01-ai/Yi-6B'
prompt_template = 'default'  # a base model has no template of its own
max_epochs = 1
