"""Mistral-7B, its weights in 4 bits, learns mathematics from MetaMathQA's 395,000 answers.

Run:       xtune train mistral_7b_qlora_metamath
Hardware:  one GPU of 8 GB: 7.1 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.settings.qlora import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.metamath import *
    from .._base_.schedules.cosine_8bit import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'mistralai/Mistral-7B-v0.1'
prompt_template = 'openchat'  # OpenChat 3.5 is this model, tuned in that format
added_tokens = ['<|end_of_turn|>']
max_epochs = 1
