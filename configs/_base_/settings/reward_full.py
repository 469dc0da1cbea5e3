from mmengine.config import read_base

with read_base():
    from .sft import *

# Data: pairs of answers, of which one is better, or several answers to a prompt, the best first
map_fn = 'preference'  # rows of prompt, chosen, rejected; 'auto' recognises other forms
max_length = 2048  # tokens of all answers to a prompt, each with its prompt

# A head of one number, and what it learns from; every weight is trained. docs/en/reward.md
algorithm = dict(
    type='RewardModel',
    loss=dict(type='bradley_terry'),
    centre=0.01)  # keeps scores around 0

accumulative_counts = 32  # packs, of two or three pairs; a step's loss is the mean over its prompts
max_epochs = 1  # a second one overfits at once
lr = 1e-5
warmup_ratio = 0.1
