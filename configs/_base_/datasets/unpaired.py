# PART 3  Dataset & Dataloader
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
train_dataloader = dict(batch_size=batch_size, num_workers=dataloader_num_workers, shuffle=True)
