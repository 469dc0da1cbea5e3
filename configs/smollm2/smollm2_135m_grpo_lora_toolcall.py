"""SmolLM2-135M-Instruct learns to call tools from a rule that says which calls were right.

Run:       xtune train smollm2_135m_grpo_lora_toolcall
Hardware:  two CPU cores, 2 GB of memory
Result:    not measured yet
Verified:  no
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.grpo import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.toolcall_prompts import *
    from .._base_.schedules.rollouts import *
    from .._base_.runtimes.default import *

rewards = [dict(type='tool_call', partial=0.2)]
max_length = 2048
max_new_tokens = 40  # a call has 40 at most
lr = 1e-4
max_steps = 60
lora = dict(
    type='LoraConfig', r=16, lora_alpha=32, lora_dropout=0.0, modules_to_save=None,
    target_modules=['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],
    layers_to_transform=list(range(12, 30)))
save_steps = 20
evaluation_freq = 20
evaluation_inputs = ['I have 301 miles, what is that in km?', 'Thank you, that is all!']
custom_hooks = [dict(
    type='EvaluateChatHook', interval=evaluation_freq, system=SYSTEM,
    evaluation_inputs=evaluation_inputs, max_new_tokens=48)]
