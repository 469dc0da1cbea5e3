# PART 3  Dataset & Dataloader
train_dataset = dict(
    type='PromptDataset',
    data_path=data_path,
    split='train',
    map_fn=map_fn,
    template=prompt_template,
    system=SYSTEM,
    max_length=max_length,
    max_new_tokens=max_new_tokens)
val_dataset = dict(
    type='PromptDataset',
    data_path=val_data_path,
    split='validation',
    map_fn=map_fn,
    template=prompt_template,
    system=SYSTEM,
    max_length=max_length,
    max_new_tokens=max_new_tokens)
train_dataloader = dict(batch_size=batch_size, num_workers=dataloader_num_workers, shuffle=True)
