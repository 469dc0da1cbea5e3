"""SmolLM2-135M-Instruct learns the preference demo's pairs by ORPO, which has no reference.

Run:       xtune train smollm2_135m_orpo_lora
Hardware:  two CPU cores, 2 GB of memory
Result:    see docs/en/preference.md: ORPO next to other methods, on half of these pairs
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.lora import *
    from .._base_.settings.orpo import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.toolcall_pairs import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

max_length = 256  # two pairs
accumulative_counts = 1
lr = 1e-3
save_steps = 30
evaluation_freq = 200
evaluation_inputs = ['I have 301 miles, what is that in km?', 'Thank you, that is all!']
