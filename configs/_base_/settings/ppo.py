from mmengine.config import read_base

with read_base():
    from .grpo import *

# PPO: a critic, an adapter on the policy's own base, says what was to be expected of each token
answers = 1  # to each prompt
prompts = 64
advantage = dict(type='gae', gamma=1.0, lam=0.95)
algorithm = dict(
    type='ActorCritic',
    loss=dict(type='ppo', clip_low=0.2, clip_high=0.2),
    kl_in_reward=0.05,
    temperature=1.0,
    value_weight=0.1,
    value_clip=0.2,
    critic_start=None,  # the run of a reward model, as which the critic begins
    reward_model=None)  # the run of a reward model whose scores are a reward too
passes = 4
mini_batches = 1
unended_reward = -1.0
