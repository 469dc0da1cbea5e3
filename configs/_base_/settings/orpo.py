from mmengine.config import read_base

with read_base():
    from .sft import *

# Data: pairs of answers, of which one is better
map_fn = 'preference'  # rows of prompt, chosen, rejected; 'auto' recognises other forms
max_length = 2048  # tokens of both answers of a pair, each with its prompt

# ORPO: the better answer is learnt as in fine-tuning, its prompt too as in the authors' code, and
# the odds of the two answers are parted; no reference, so that a base model may begin with it
algorithm = dict(
    type='PreferenceOptimization',
    loss=dict(type='orpo', beta=0.1),
    nll_on='all')

accumulative_counts = 16  # packs, of two or three pairs; a step's loss is the mean over its pairs
max_epochs = 1
lr = 8e-6  # of an adapter; 5e-6 where every weight is trained
warmup_ratio = 0.1
