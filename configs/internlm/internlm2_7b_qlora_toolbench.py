"""InternLM2-7B, its weights in 4 bits, learns to think, act and read results from ToolBench.

Run:       xtune train internlm2_7b_qlora_toolbench
Hardware:  one GPU of 12 GB: 8.0 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.settings.qlora import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.toolbench import *
    from .._base_.schedules.cosine_8bit import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'internlm/internlm2-7b'
prompt_template = 'internlm2_chat'  # it has a place for results
