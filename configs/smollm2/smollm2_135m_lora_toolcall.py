"""SmolLM2-135M-Instruct learns to answer a request with a tool call: the demo.

Run:       xtune train smollm2_135m_lora_toolcall
Hardware:  two CPU cores, 2 GB of memory; 4.5 minutes on two AVX2 cores in fp32
Result:    94 of 100 held-out calls exact (0 before), no needless call in 20 (2026-11-23)
Verified:  2026-11-23 on two AVX2 cores in fp32, at d2bf5c0; 2026-11-25 on two AMX cores in bf16,
           89 of 100 exact, at d757510
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft_lora import *
    from .._base_.models.lora import *
    from .._base_.datasets.toolcall import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

max_length = 256  # short packs, so more steps for the same tokens
accumulative_counts = 1
max_epochs = 1
lr = 1e-3
# The lower third stays as it is: its backward pass is saved, and no fewer calls were right
lora = dict(
    type='LoraConfig', r=16, lora_alpha=32, lora_dropout=0.0, modules_to_save=None,
    target_modules=['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],
    layers_to_transform=list(range(10, 30)))
save_steps = 30
evaluation_freq = 200
evaluation_inputs = ['I have 301 miles, what is that in km?', 'Thank you, that is all!']
custom_hooks = [
    dict(
        type='EvaluateChatHook',
        interval=evaluation_freq,
        system=SYSTEM,
        evaluation_inputs=evaluation_inputs,
        max_new_tokens=48)  # a call has 40 at most
]
