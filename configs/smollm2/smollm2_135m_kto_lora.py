"""SmolLM2-135M-Instruct learns by KTO from the answers of the preference demo, each for itself.

Run:       xtune train smollm2_135m_kto_lora
Hardware:  two CPU cores, 2 GB of memory
Result:    see docs/en/preference.md: KTO next to other methods, on half of these pairs
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.kto import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.toolcall_unpaired import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

max_length = 256  # four answers
accumulative_counts = 1
lr = 1e-3
save_steps = 30
evaluation_freq = 200
evaluation_inputs = ['I have 301 miles, what is that in km?', 'Thank you, that is all!']
