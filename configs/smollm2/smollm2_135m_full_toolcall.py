"""SmolLM2-135M-Instruct learns tool calls with all its weights trained.

Run:       xtune train smollm2_135m_full_toolcall
Hardware:  two CPU cores, 6 GB of memory
Result:    not run to the end yet; smollm2_135m_lora_toolcall is the measured one
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.toolcall import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

max_length = 256  # short packs, so more steps for the same tokens
accumulative_counts = 1
max_epochs = 1
lr = 1e-4
save_steps = 50
evaluation_freq = 200
evaluation_inputs = ['I have 301 miles, what is that in km?', 'Thank you, that is all!']
