from mmengine.config import read_base

with read_base():
    from .preference import *

# Each answer good or bad by itself; a pair is read as one of each
train_dataset = dict(
    type='UnpairedPreferenceDataset',
    data_path=data_path,
    split='train',
    map_fn=map_fn,
    template=prompt_template,
    system=SYSTEM,
    max_length=max_length,
    pack_to_max_length=pack_to_max_length)
val_dataset = dict(
    type='UnpairedPreferenceDataset',
    data_path=val_data_path,
    split='validation',
    map_fn=map_fn,
    template=prompt_template,
    system=SYSTEM,
    max_length=max_length,
    pack_to_max_length=pack_to_max_length)
