# PART 4  Scheduler & Optimizer
optimizer = dict(type='AdamW', lr=lr, betas=betas, weight_decay=weight_decay)
clip_grad = dict(max_norm=max_norm)
param_scheduler = dict(type='CosineSchedule', warmup_ratio=warmup_ratio)
train_cfg = dict(
    type='RolloutLoop',
    rewards=rewards,
    reward_weights=reward_weights,
    advantage=advantage,
    prompts=prompts,
    answers=answers,
    max_new_tokens=max_new_tokens,
    passes=passes,
    mini_batches=mini_batches,
    draws_for_signal=draws_for_signal,
    mask_unended=mask_unended,
    reward_clip=reward_clip,
    unended_reward=unended_reward,
    kl_target=kl_target,
    max_epochs=max_epochs,
    max_steps=max_steps,
    val_interval=evaluation_freq)
