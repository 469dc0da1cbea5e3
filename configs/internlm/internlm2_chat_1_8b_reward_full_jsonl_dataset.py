"""InternLM2-Chat-1.8B becomes a reward model, all weights trained, by pairs of your own.

Run:       xtune copy-cfg internlm2_chat_1_8b_reward_full_jsonl_dataset my_run.py
           xtune train my_run.py
Edit:      data_path  your file, or a list of files
Hardware:  one GPU of 32 GB: 26.7 GiB estimated in bf16
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.reward_full import *
    from .._base_.models.sequence_classifier import *
    from .._base_.datasets.preference import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'internlm/internlm2-chat-1_8b'
prompt_template = 'internlm2_chat'
# Rows of prompt, chosen and rejected, texts or messages: XTuner's as they are. Yours in place of
# xtune's own few, which make the config run in its repository as it stands
data_path = 'examples/custom_preference.jsonl'
gradient_checkpointing = True
evaluation_inputs = []  # a reward model writes nothing
custom_hooks = []
