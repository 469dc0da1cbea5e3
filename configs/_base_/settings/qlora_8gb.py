from mmengine.config import read_base

with read_base():
    from .qlora import *

# A quarter of the rank of qlora. Adapters on all linear layers learn as much (Dettmers et al.,
# 2023, appendix A), and with the same alpha the same learning rate suits them (Hu et al., 2021,
# section 4.1)
lora = dict(
    type='LoraConfig',
    r=16,
    lora_alpha=16,
    lora_dropout=0.1,
    target_modules='all-linear',
    modules_to_save=None)
activation_offload = True  # half a GiB for the time of copying it; pinned memory of the host
