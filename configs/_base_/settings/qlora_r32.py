from mmengine.config import read_base

with read_base():
    from .qlora import *

# Half the rank of qlora, so that a 7B model with a large vocabulary fits 8 GB. Adapters on all
# linear layers learn as much (Dettmers et al., 2023, appendix A), and with the same alpha the same
# learning rate suits them (Hu et al., 2021, section 4.1)
lora = dict(
    type='LoraConfig',
    r=32,
    lora_alpha=16,
    lora_dropout=0.1,
    target_modules='all-linear',
    modules_to_save=None)
