"""A model is trained further, all its weights, on your own texts: copy this, then edit the knobs.

Run:       xtune copy-cfg custom_pretrain_full my_run.py
           xtune check my_run.py
           xtune log-dataset my_run.py
           xtune train my_run.py
Edit:      pretrained_model_name_or_path  the model to start from
           data_path                      your files: rows of {"text"} in json, jsonl, csv or
                                          parquet, or .txt files, here a text for each paragraph
           max_length                     tokens of a pack; a longer text makes several samples
Hardware:  as it stands two CPU cores and 4 GB; a 7B model wants several 80 GB cards
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.pretrain import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

prompt_template = 'default'  # for watching it write; texts are trained as they are
# Paragraphs about xtune in its repository, so that the config runs there as it stands
data_path = dict(type='files', path='examples/custom_pretrain.txt', sample_by='paragraph')
accumulative_counts = 1
save_steps = 100
evaluation_freq = 100
evaluation_inputs = ['A config is']
