# PART 4  Scheduler & Optimizer
optimizer = dict(type='AdamW', lr=lr, betas=betas, weight_decay=weight_decay)
clip_grad = dict(max_norm=max_norm)
param_scheduler = dict(type='CosineSchedule', warmup_ratio=warmup_ratio)
train_cfg = dict(
    type='TrainLoop',
    max_epochs=max_epochs,
    max_steps=max_steps,
    accumulative_counts=accumulative_counts,
    val_interval=evaluation_freq)
