"""SmolLM2-135M-Instruct, its weights in 4 bits, learns tool calls with an adapter.

Run:       xtune train smollm2_135m_qlora_toolcall
Hardware:  two CPU cores, 3 GB of memory; 4-bit weights save no time there, a GPU is meant
Result:    not run to the end yet; smollm2_135m_lora_toolcall is the measured one
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.settings.qlora import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.toolcall import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

# The adapter of smollm2_135m_lora_toolcall, so that the two can be compared
lora = dict(
    type='LoraConfig', r=16, lora_alpha=32, lora_dropout=0.0, modules_to_save=None,
    target_modules=['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],
    layers_to_transform=list(range(12, 30)))
max_length = 256  # short packs, so more steps for the same tokens
accumulative_counts = 1
max_epochs = 1
lr = 1e-3
save_steps = 50
evaluation_freq = 200
evaluation_inputs = ['I have 301 miles, what is that in km?', 'Thank you, that is all!']
