from mmengine.config import read_base

with read_base():
    from .lora import *

# Prompts, to which the model writes answers of its own; rows with an answer are cut before it
map_fn = 'auto'
max_length = 1024  # tokens of a prompt and its answer, and of a micro-batch of them
max_new_tokens = 256  # of an answer
prompts = 8  # drawn for an iteration, on all processes together
answers = 8  # to each of them

# What an answer is worth. Others: number, format, code_tests, length … (xtune/rewards), or a
# function of your own: def brevity(answers): return [-len(one.text) / 100 for one in answers]
rewards = [dict(type='exact_answer')]
reward_weights = None  # 1 each
# GRPO: against the other answers to the prompt. Others: dr_grpo, rloo, batch_std, gdpo,
# reinforce_plus_plus (xtune/losses/advantages)
advantage = dict(type='grpo')
# DAPO's mean over all tokens, and its higher clip. Others: grpo, dr_grpo, gspo, cispo, ppo
# (xtune/losses/policy); docs/en/reinforcement.md
algorithm = dict(
    type='PolicyOptimization',
    loss=dict(type='dapo'),
    kl_in_loss=0.0,  # of the distance from the model as it began; 0.001 holds it a little
    kl_in_reward=0.0,
    temperature=1.0)
passes = 1  # over the answers of an iteration
mini_batches = 1  # optimizer steps of a pass
draws_for_signal = 0  # new prompts in place of those whose answers all have the same reward
mask_unended = False  # True: answers that were cut teach nothing
reward_clip = None
unended_reward = None  # of an answer that was cut, in place of its own
kl_target = None  # nats of an answer that kl_in_reward is adapted to

max_epochs = 1
lr = 1e-5  # of an adapter; 1e-6 where every weight is trained
weight_decay = 0.0
warmup_ratio = 0.0
