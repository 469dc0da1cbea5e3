from mmengine.config import read_base

with read_base():
    from .sft import *

# Read window by window, for data larger than memory; the run's length is max_steps
train_dataset = dict(
    type='StreamedSFTDataset',
    data_path=data_path,
    split='train',
    map_fn=map_fn,
    template=prompt_template,
    system=SYSTEM,
    max_length=max_length,
    pack_to_max_length=pack_to_max_length,
    loss_weights=loss_weights,
    window_rows=10000)
