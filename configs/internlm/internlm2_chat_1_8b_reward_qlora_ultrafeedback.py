"""InternLM2-Chat-1.8B becomes a reward model, in 4 bits, by the rated answers of UltraFeedback.

Run:       xtune train internlm2_chat_1_8b_reward_qlora_ultrafeedback
Hardware:  one GPU of 4 GB: 2.8 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.qlora import *
    from .._base_.settings.reward import *
    from .._base_.models.sequence_classifier import *
    from .._base_.datasets.ultrafeedback import *
    from .._base_.schedules.cosine_8bit import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'internlm/internlm2-chat-1_8b'
prompt_template = 'internlm2_chat'
accumulative_counts = 32
evaluation_inputs = []  # a reward model writes nothing
custom_hooks = []
