from mmengine.config import read_base

with read_base():
    from .cosine import *

# Moments in 8 bits, 2 bytes of state a trained weight instead of 8, moved to the host when the GPU
# is full. FSDP and DeepSpeed cannot divide it: with --deepspeed the run takes AdamW, and says so
optimizer = dict(type='PagedAdamW8bit', lr=lr, betas=betas, weight_decay=weight_decay)
