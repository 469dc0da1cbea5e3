"""Mistral-7B, all its weights, is trained further on Chinese web pages, SkyPile.

Run:       xtune train mistral_7b_full_pretrain_skypile
Hardware:  one GPU of 141 GB: 111 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.pretrain_skypile import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'mistralai/Mistral-7B-v0.1'
prompt_template = 'default'  # a base model has no template of its own
gradient_checkpointing = True
max_steps = 10000  # of 32,768 tokens each: the data are streamed, and have no end that is known
