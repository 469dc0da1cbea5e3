# PART 4  Scheduler & Optimizer
# Moments in 8 bits, 2 bytes of state a trained weight instead of 8, moved to the host when the GPU
# is full. FSDP and DeepSpeed cannot divide it: with --deepspeed the run takes AdamW, and says so
optimizer = dict(type='PagedAdamW8bit', lr=lr, betas=betas, weight_decay=weight_decay)
clip_grad = dict(max_norm=max_norm)
param_scheduler = dict(type='CosineSchedule', warmup_ratio=warmup_ratio)
train_cfg = dict(
    type='TrainLoop',
    max_epochs=max_epochs,
    max_steps=max_steps,
    accumulative_counts=accumulative_counts,
    val_interval=evaluation_freq)
