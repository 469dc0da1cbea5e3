"""InternLM-7B, its weights in 4 bits, learns to program from Code Alpaca's 20,000 tasks.

Run:       xtune train internlm_7b_qlora_code_alpaca
Hardware:  one GPU of 8 GB: 7.0 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.settings.qlora_r32 import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.code_alpaca import *
    from .._base_.schedules.cosine_8bit import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'internlm/internlm-7b'
prompt_template = 'default'  # a base model has no template of its own
