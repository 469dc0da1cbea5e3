"""SmolLM2-135M-Instruct learns from pairs of answers which one is better: the preference demo.

Run:       xtune train smollm2_135m_dpo_lora
Hardware:  two CPU cores, 2 GB of memory; some 2 minutes in fp32 with AVX2 alone
Result:    of 120 held-out pairs the better answer is the likelier one in all (88 before); 74 of
           100 held-out calls exact (0 before), two needless calls in 20; answers of 27 tokens (33)
Verified:  2026-11-30, bf16 (AVX512-bf16), one run
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.dpo import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.toolcall_pairs import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

algorithm = dict(
    type='PreferenceOptimization',
    loss=dict(type='sigmoid', beta=0.1),
    sft_weight=5.0)  # of the better answer's own loss, without which no call is ever written
max_length = 256  # two pairs, so more steps for the same tokens
accumulative_counts = 1
lr = 1e-3
lora = dict(
    type='LoraConfig', r=16, lora_alpha=32, lora_dropout=0.0, modules_to_save=None,
    target_modules=['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],
    layers_to_transform=list(range(12, 30)))
save_steps = 30
evaluation_freq = 200
evaluation_inputs = ['I have 301 miles, what is that in km?', 'Thank you, that is all!']
custom_hooks = [dict(
    type='EvaluateChatHook', interval=evaluation_freq, system=SYSTEM,
    evaluation_inputs=evaluation_inputs, max_new_tokens=48)]
