from mmengine.config import read_base

with read_base():
    from .sft_lora import *

lora = dict(
    type='LoraConfig',
    r=64,
    lora_alpha=16,
    lora_dropout=0.1,
    target_modules='all-linear',
    modules_to_save=None)
gradient_checkpointing = True
