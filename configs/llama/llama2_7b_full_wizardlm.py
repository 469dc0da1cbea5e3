"""Llama-2-7B, all its weights trained, learns from WizardLM's evolved instructions.

Run:       xtune train llama2_7b_full_wizardlm
Hardware:  one GPU of 141 GB: 103 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.wizardlm import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'meta-llama/Llama-2-7b-hf'
prompt_template = 'default'  # a base model has no template of its own
gradient_checkpointing = True
