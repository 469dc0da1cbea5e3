"""Qwen2.5-1.5B-Instruct with adapters becomes a reward model, by UltraFeedback's rated answers.

Run:       xtune train qwen2_5_1_5b_instruct_reward_lora_ultrafeedback
Hardware:  one GPU of 6 GB: 4.2 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.reward import *
    from .._base_.models.sequence_classifier import *
    from .._base_.datasets.ultrafeedback import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'Qwen/Qwen2.5-1.5B-Instruct'
prompt_template = 'qwen_chat'
accumulative_counts = 32
gradient_checkpointing = True
evaluation_inputs = []  # a reward model writes nothing
custom_hooks = []
