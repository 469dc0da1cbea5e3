"""PPO with LoRA on prompts of your own and rewards of your own: copy this, then edit the knobs.

Run:       xtune copy-cfg custom_ppo_lora my_run.py
           xtune check my_run.py
           xtune train my_run.py
Edit:      pretrained_model_name_or_path  the model to start from: one that is fine-tuned already
           data_path                      your file
           map_fn                         'prompt' for rows of prompt; rows with an answer are cut
                                          before it; or your own: 'my_code.py:my_map_fn'
           rewards                        what an answer is worth: names of xtune/rewards, or a
                                          function in my_run.py
           algorithm                      critic_start and reward_model, runs of a reward model
Hardware:  as it stands two CPU cores and 3 GB; a 7B model wants a 24 GB card
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.settings.ppo import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.prompts import *
    from .._base_.schedules.rollouts import *
    from .._base_.runtimes.default import *

# Data: a json, jsonl, csv or parquet file, a folder or list of them, or a hub id. This file is
# in xtune's repository, questions about xtune, so that the config runs there as it stands
data_path = 'examples/custom_preference.jsonl'
map_fn = 'preference'
rewards = [dict(type='exact_answer')]  # 1 for the answer of the data, here the chosen one
max_new_tokens = 48
prompts = 16
save_steps = 100
evaluation_freq = 100
evaluation_inputs = ['How do I continue a run that was stopped?']
