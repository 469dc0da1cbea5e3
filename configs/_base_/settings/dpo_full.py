from mmengine.config import read_base

with read_base():
    from .sft import *

# Data: pairs of answers, of which one is better
map_fn = 'preference'  # rows of prompt, chosen, rejected; 'auto' recognises other forms
max_length = 2048  # tokens of both answers of a pair, each with its prompt

# DPO with every weight trained: the reference is the model that the training begins with, a second
# time in memory and never trained
algorithm = dict(
    type='PreferenceOptimization',
    loss=dict(type='sigmoid', beta=0.1),
    ref=dict(type='CausalLM', pretrained_model_name_or_path=pretrained_model_name_or_path))

accumulative_counts = 16  # packs, of two or three pairs; a step's loss is the mean over its pairs
max_epochs = 1  # a second one mostly overfits
lr = 5e-7
warmup_ratio = 0.1
