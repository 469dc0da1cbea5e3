"""QLoRA on your own data: a model of 4-bit weights, for one small GPU. Copy it, edit the first
four knobs.

Run:       xtune copy-cfg custom_sft_qlora my_run.py
           xtune check my_run.py
           xtune log-dataset my_run.py
           xtune train my_run.py
Edit:      pretrained_model_name_or_path  the model to start from
           prompt_template                'auto' for a chat model, 'default' for a base model
           data_path                      your file
           map_fn                         the form of its rows: openai {"messages": [...]},
                                          alpaca {"instruction", "input", "output"},
                                          sharegpt {"conversations": [...]}, turns, pretrain
                                          {"text"}, 'auto' to recognise them (xtune list-formats
                                          names all), or your own: 'my_code.py:my_map_fn'
Hardware:  as it stands two CPU cores and 3 GB; a 7B model wants a 12 GB card,
           or 8 GB with --cfg-options optimizer.type=PagedAdamW8bit
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.settings.qlora import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.sft import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

# Data: a json, jsonl, csv or parquet file, a folder or list of them, or a hub id. This file is
# in xtune's repository, questions about xtune, so that the config runs there as it stands
data_path = 'examples/custom_sft.jsonl'
accumulative_counts = 1
save_steps = 100
evaluation_freq = 100
evaluation_inputs = ['How do I continue a run that was stopped?']
