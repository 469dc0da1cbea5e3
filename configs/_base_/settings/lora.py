# LoRA: any argument of peft.LoraConfig. alpha / r = 2, and on all linear layers: attention alone
# learns less (Hu et al., 2021, tried only that; Dettmers et al., 2023, section 4)
lora = dict(
    type='LoraConfig',
    r=16,
    lora_alpha=32,
    lora_dropout=0.0,
    target_modules='all-linear',
    modules_to_save=None)
# A trained adapter's folder, or its run: it is trained further, with its own settings and template
# instead of `lora`
adapter = None
lr = 2e-4  # ten times what all weights take: only the adapter moves
