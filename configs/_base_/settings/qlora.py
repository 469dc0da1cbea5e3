from mmengine.config import read_base

with read_base():
    from .lora import *

# As in the QLoRA paper (Dettmers et al., 2023) and in XTuner: a high rank on every linear layer
# makes up for the 4-bit base, and alpha / r = 1/4 keeps its steps small at this learning rate
lora = dict(
    type='LoraConfig',
    r=64,
    lora_alpha=16,
    lora_dropout=0.1,
    target_modules='all-linear',
    modules_to_save=None)
quantization = dict(bits=4, quant_type='nf4', double_quant=True)  # of the frozen weights
gradient_checkpointing = True  # 4-bit weights are for small cards
