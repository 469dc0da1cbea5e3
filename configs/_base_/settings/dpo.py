from mmengine.config import read_base

with read_base():
    from .lora import *

# Data: pairs of answers, of which one is better
map_fn = 'preference'  # rows of prompt, chosen, rejected; 'auto' recognises other forms
max_length = 2048  # tokens of both answers of a pair, each with its prompt

# DPO, held against the model as it is without its new adapter. Other losses: sigmoid (DPO), ipo,
# hinge, robust, apo_zero, simpo, orpo … (xtune/losses/preference); docs/en/preference.md
algorithm = dict(
    type='PreferenceOptimization',
    loss=dict(type='sigmoid', beta=0.1))

accumulative_counts = 16  # packs, of two or three pairs; a step's loss is the mean over its pairs
max_epochs = 1  # a second one mostly overfits
lr = 5e-5  # of an adapter; 5e-7 where every weight is trained
warmup_ratio = 0.1
