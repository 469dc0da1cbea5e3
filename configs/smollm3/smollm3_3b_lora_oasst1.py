"""SmolLM3-3B with adapters learns to chat from Open Assistant's best dialogues.

Run:       xtune train smollm3_3b_lora_oasst1
Hardware:  one GPU of 12 GB: 7.4 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.settings.lora import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.oasst1 import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'HuggingFaceTB/SmolLM3-3B-Base'
prompt_template = 'default'  # a base model has no template of its own
gradient_checkpointing = True
