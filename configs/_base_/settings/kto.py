from mmengine.config import read_base

with read_base():
    from .lora import *

# Data: answers that are good or bad, each for itself; a pair is read as one of each
map_fn = 'auto'
max_length = 2048  # tokens of the longest dialogue, and of a pack

# KTO, held against the model as it is without its new adapter
algorithm = dict(
    type='UnpairedPreferenceOptimization',
    loss=dict(type='kto', beta=0.1))

accumulative_counts = 16  # packs, of some five answers each; z is the mean over those of a step
max_epochs = 1
lr = 5e-6  # of an adapter; 5e-7 where every weight is trained
warmup_ratio = 0.1
