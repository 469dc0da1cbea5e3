from mmengine.config import read_base

with read_base():
    from .sft import *

# Data: pairs of answers, of which one is better
map_fn = 'preference'  # rows of prompt, chosen, rejected; 'auto' recognises other forms
max_length = 2048  # tokens of both answers of a pair, each with its prompt

# SimPO: log-probabilities per token, a margin and no reference. Sensitive to lr
algorithm = dict(
    type='PreferenceOptimization',
    loss=dict(type='simpo', beta=2.0, gamma=1.0))

accumulative_counts = 32  # packs, of two or three pairs; a step's loss is the mean over its pairs
max_epochs = 1
lr = 5e-6  # of an adapter; 5e-7 where every weight is trained
warmup_ratio = 0.1
