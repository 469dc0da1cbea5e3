"""Phi-3-mini with adapters learns to write SQL for the tables of a question.

Run:       xtune train phi3_mini_lora_sql
Hardware:  one GPU of 12 GB: 8.8 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.settings.lora import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.sql import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'microsoft/Phi-3-mini-4k-instruct'
prompt_template = 'phi3_chat'
gradient_checkpointing = True
