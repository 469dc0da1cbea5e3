"""Llama-3-8B becomes a reward model, all its weights trained, by UltraFeedback's rated answers.

Run:       xtune train llama3_8b_reward_full_ultrafeedback
Hardware:  one GPU of 141 GB: 114 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.reward_full import *
    from .._base_.models.sequence_classifier import *
    from .._base_.datasets.ultrafeedback import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'meta-llama/Meta-Llama-3-8B'
prompt_template = 'llama3_chat'  # a base model has none of its own
gradient_checkpointing = True
evaluation_inputs = []  # a reward model writes nothing
custom_hooks = []
