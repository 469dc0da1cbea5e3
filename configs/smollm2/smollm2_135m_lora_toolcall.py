"""SmolLM2-135M-Instruct learns to answer a request with a tool call: the demo.

Run:       xtune train smollm2_135m_lora_toolcall
Hardware:  two CPU cores, 2 GB of memory; 2 minutes in fp32 with AVX2 alone, half of it in bf16
Result:    91 of 100 held-out calls exact (0 before), no needless call in 20; of 80 easy
           questions 58 right (59 before), 1.23 bits per byte of plain English (1.15 before)
Verified:  2026-11-30, fp32 with AVX2 alone; bf16 (AVX512-bf16) 93, 93, 96 of 100 on three deals
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.settings.lora import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.toolcall import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

max_length = 256  # short packs, so more steps for the same tokens
accumulative_counts = 1
max_epochs = 1
lr = 1e-3
# The lower layers stay as they are: their backward pass is saved, and no fewer calls were right
lora = dict(
    type='LoraConfig', r=16, lora_alpha=32, lora_dropout=0.0, modules_to_save=None,
    target_modules=['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],
    layers_to_transform=list(range(12, 30)))
save_steps = 30
evaluation_freq = 200
evaluation_inputs = ['I have 301 miles, what is that in km?', 'Thank you, that is all!']
custom_hooks = [dict(
    type='EvaluateChatHook', interval=evaluation_freq, system=SYSTEM,
    evaluation_inputs=evaluation_inputs, max_new_tokens=48)]  # a call has 40 at most
