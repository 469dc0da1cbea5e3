"""KTO with LoRA on answers of your own, each good or bad: copy this, then edit the first knobs.

Run:       xtune copy-cfg custom_kto_lora my_run.py
           xtune check my_run.py
           xtune log-dataset my_run.py
           xtune train my_run.py
Edit:      pretrained_model_name_or_path  the model to start from: one that is fine-tuned already
           prompt_template                'auto' for a chat model, 'default' for a base model
           data_path                      your file
           map_fn                         'unpaired_preference' for rows of prompt, completion and
                                          label; 'preference' for pairs, which are read as two;
                                          'auto' recognises other forms; or your own:
                                          'my_code.py:my_map_fn'
           algorithm                      the loss: its desirable_weight and undesirable_weight
                                          where there are more good answers than bad ones
Hardware:  as it stands two CPU cores and 3 GB; a 7B model wants a 24 GB card
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.settings.kto import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.unpaired import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

# Data: a json, jsonl, csv or parquet file, a folder or list of them, or a hub id. This file is
# in xtune's repository, pairs about xtune, so that the config runs there as it stands
data_path = 'examples/custom_preference.jsonl'
map_fn = 'preference'
accumulative_counts = 1
save_steps = 100
evaluation_freq = 100
evaluation_inputs = ['How do I continue a run that was stopped?']
