"""SmolLM2-135M with adapters learns to work out the problems of GSM8K step by step.

Run:       xtune train smollm2_135m_lora_gsm8k
Hardware:  one GPU of 4 GB: 2.2 GiB estimated in bf16; or a patient laptop
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.settings.lora import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.gsm8k import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'HuggingFaceTB/SmolLM2-135M'
prompt_template = 'default'  # a base model has no template of its own
