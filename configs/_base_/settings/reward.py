from mmengine.config import read_base

with read_base():
    from .lora import *

# Data: pairs of answers, of which one is better, or several answers to a prompt, the best first
map_fn = 'preference'  # rows of prompt, chosen, rejected; 'auto' recognises other forms
max_length = 2048  # tokens of all answers to a prompt, each with its prompt

# A head of one number, and what it learns from. Other losses: focal, token_aligned, and
# safe_rlhf_cost for a cost model (xtune/losses/reward); docs/en/reward.md
algorithm = dict(
    type='RewardModel',
    loss=dict(type='bradley_terry'),
    centre=0.01)  # keeps scores around 0

accumulative_counts = 4  # packs; the loss of a step is the mean over its prompts
max_epochs = 1  # a second one overfits at once
lr = 1e-4  # of an adapter and the head; 1e-5 where every weight is trained
