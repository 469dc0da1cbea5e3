"""SmolLM2-135M-Instruct learns to answer a request with a tool call: the demo.

Run:       xtune train -/smollm2_135m_lora_toolcall_copy.py
Hardware:  two CPU cores, 2 GB of memory; 4.5 minutes on two AVX2 cores in fp32
Result:    94 of 100 held-out calls exact (0 before), no needless call in 20 (2026-11-23)
Verified:  2026-11-23 on two AVX2 cores in fp32, at d2bf5c0; 2026-11-25 on two AMX cores in bf16,
           89 of 100 exact, at d757510
"""

# PART 1  Settings: what a user usually changes
# Model: a hub id, modelscope:owner/name, a folder, a .gguf file, or the alias smollm2
pretrained_model_name_or_path = 'smollm2'
# 'auto': the tokenizer's own chat template; a base model has none. xtune list-templates names
# the others, 'default' (plain words) among them
prompt_template = 'auto'

# Requests and the calls that answer them, generated from a seed: xtune/data/sources/toolcall.py
data_path = 'toolcall'
map_fn = 'openai'  # the form of its rows: 'auto' recognises it, xtune list-formats names all
val_data_path = 'toolcall'  # a file to measure validation loss on
max_length = 256  # short packs, so more steps for the same tokens
pack_to_max_length = True
loss_weights = dict(thought=1.0, call=1.0, answer=1.0)  # factors in the loss, of tool dialogues
added_tokens = []  # words to become one token each, with rows that are trained
# Computed again in the backward pass, for less memory: True every layer (a third slower), 2 one
# layer of two (k one of k), 'auto' as few as fit the device
gradient_checkpointing = False
activation_offload = False  # True: what a checkpointed layer keeps waits in the host's memory
sequence_parallel_size = 1  # processes that share each row, for contexts too long for one device

# Optimizer; a step is accumulative_counts micro-batches of batch_size packs, on each device
batch_size = 1
accumulative_counts = 1  # 16 packs of 2,048 are about 250 rows of Alpaca
dataloader_num_workers = 0
max_epochs = 1  # as XTuner's: Alpaca's own recipe
max_steps = None  # optimizer steps; overrides max_epochs
lr = 1e-3  # ten times what all weights take: only the adapter moves
betas = (0.9, 0.999)
weight_decay = 0.0  # three epochs are too few to need it
max_norm = 1.0  # gradient clipping
warmup_ratio = 0.03  # of the steps, linear; then a cosine to 0

# Save, every so many optimizer steps
save_steps = 30
save_total_limit = 2

# Watch the model answer, before, during and after
evaluation_freq = 200
SYSTEM = 'Tools: convert exchange weather timer remind'  # what the rows have
evaluation_inputs = ['I have 301 miles, what is that in km?', 'Thank you, that is all!']

seed = 42

# The lower third stays as it is: its backward pass is saved, and no fewer calls were right
lora = dict(
    type='LoraConfig',
    r=16,
    lora_alpha=32,
    lora_dropout=0.0,
    target_modules=[
        'q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'
    ],
    layers_to_transform=list(range(10, 30)),
    modules_to_save=None)
# A trained adapter's folder, or its run: it is trained further, with its own settings and template
# instead of `lora`
adapter = None

# PART 2  Model & Tokenizer
tokenizer = dict(
    pretrained_model_name_or_path=pretrained_model_name_or_path,
    added_tokens=added_tokens)
model = dict(
    type='SupervisedFinetune',
    llm=dict(
        type='CausalLM',
        pretrained_model_name_or_path=pretrained_model_name_or_path,
        dtype='auto'),
    vocabulary=dict(init='subtokens', pad_to_multiple_of=None),  # of added_tokens
    adapter=lora,
    adapter_folder=adapter,
    gradient_checkpointing=gradient_checkpointing,
    activation_offload=activation_offload)

# PART 3  Dataset & Dataloader
train_dataset = dict(
    type='SFTDataset',
    data_path=data_path,
    split='train',
    map_fn=map_fn,
    template=prompt_template,
    system=SYSTEM,
    max_length=max_length,
    pack_to_max_length=pack_to_max_length,
    loss_weights=loss_weights)
val_dataset = dict(
    type='SFTDataset',
    data_path=val_data_path,
    split='validation',
    map_fn=map_fn,
    template=prompt_template,
    system=SYSTEM,
    max_length=max_length,
    pack_to_max_length=pack_to_max_length)
train_dataloader = dict(batch_size=batch_size, num_workers=dataloader_num_workers, shuffle=True)

# What `tools/eval.py` measures, before and after
test_cfg = dict(
    type='ToolCallEvaluation',
    data_path=data_path,
    split='held_out',
    batch_size=60,
    max_new_tokens=40)

# PART 4  Scheduler & Optimizer
optimizer = dict(type='AdamW', lr=lr, betas=betas, weight_decay=weight_decay)
clip_grad = dict(max_norm=max_norm)
param_scheduler = dict(type='CosineSchedule', warmup_ratio=warmup_ratio)
train_cfg = dict(
    type='TrainLoop',
    max_epochs=max_epochs,
    max_steps=max_steps,
    accumulative_counts=accumulative_counts,
    val_interval=evaluation_freq)

# PART 5  Runtime
strategy = dict(type='SingleStrategy', precision='auto')
parallel = dict(sequence_parallel_size=sequence_parallel_size)
default_hooks = dict(
    data_report=dict(type='DataReportHook'),
    check_loss=dict(type='CheckLossHook'),
    metrics=dict(type='MetricsHook'),
    progress=dict(type='ProgressHook'),
    tensorboard=dict(type='TensorboardHook'),
    loss_curve=dict(type='LossCurveHook'),
    checkpoint=dict(type='CheckpointHook', interval=save_steps, max_keep=save_total_limit))
custom_hooks = [
    dict(
        type='EvaluateChatHook',
        interval=evaluation_freq,
        system=SYSTEM,
        evaluation_inputs=evaluation_inputs,
        max_new_tokens=48)  # a call has 40 at most
]
randomness = dict(seed=seed)
env_cfg = dict(hang_timeout=600)  # seconds that one process of several may stand still
work_dir = None  # None: work_dirs/<name of this config>
