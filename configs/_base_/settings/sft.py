# PART 1  Settings: what a user usually changes
# Model: a hub id, modelscope:owner/name, a folder, a .gguf file, or the alias smollm2
pretrained_model_name_or_path = 'smollm2'
# 'auto': the tokenizer's own chat template; a base model has none. xtune list-templates names
# the others, 'default' (plain words) among them
prompt_template = 'auto'

# Data: a json, jsonl, csv or parquet file, a folder or list of them, a hub id, or a list of dicts:
# a mixture, [dict(data_path=..., map_fn=..., weight=...), ...]
data_path = 'data.jsonl'
map_fn = 'openai'  # the form of its rows: 'auto' recognises it, xtune list-formats names all
val_data_path = None  # a file to measure validation loss on
max_length = 2048  # tokens
pack_to_max_length = True
loss_weights = dict(thought=1.0, call=1.0, answer=1.0)  # factors in the loss, of tool dialogues
added_tokens = []  # words to become one token each, with rows that are trained

# Method: the loss, and what it trains. Where lora and adapter are None: every weight
algorithm = dict(type='SupervisedFinetune')  # or with any argument of it
lora = None
adapter = None
quantization = None  # of frozen weights, under an adapter: dict(bits=4)

# Computed again in the backward pass, for less memory: True every layer (a third slower), 2 one
# layer of two (k one of k), 'auto' as few as fit the device
gradient_checkpointing = False
activation_offload = False  # True: what a checkpointed layer keeps waits in the host's memory
sequence_parallel_size = 1  # processes that share each row, for contexts too long for one device

# Optimizer; a step is accumulative_counts micro-batches of batch_size packs, on each device
batch_size = 1
accumulative_counts = 16  # 16 packs of 2,048 are about 250 rows of Alpaca
dataloader_num_workers = 0
max_epochs = 3  # as XTuner's: Alpaca's own recipe
max_steps = None  # optimizer steps; overrides max_epochs
lr = 2e-5  # for all weights of a 7B model
betas = (0.9, 0.999)
weight_decay = 0.0  # three epochs are too few to need it
max_norm = 1.0  # gradient clipping
warmup_ratio = 0.03  # of the steps, linear; then a cosine to 0

# Save, every so many optimizer steps
save_steps = 500
save_total_limit = 2

# Watch the model answer, before, during and after
evaluation_freq = 500
SYSTEM = ''  # also begins every trained dialogue that has no system text of its own
evaluation_inputs = []

seed = 42
