"""InternLM-20B, its weights in 4 bits, learns to follow Alpaca in English and Chinese.

Run:       xtune train internlm_20b_qlora_alpaca_enzh
Hardware:  one GPU of 24 GB: 17.1 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.settings.qlora import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.alpaca_enzh import *
    from .._base_.schedules.cosine_8bit import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'internlm/internlm-20b'
prompt_template = 'default'  # a base model has no template of its own
