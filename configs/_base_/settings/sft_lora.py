from mmengine.config import read_base

with read_base():
    from .sft import *

# LoRA: any argument of peft.LoraConfig
lora = dict(
    type='LoraConfig',
    r=16,
    lora_alpha=32,
    lora_dropout=0.0,
    target_modules='all-linear',
    modules_to_save=None)
lr = 2e-4
