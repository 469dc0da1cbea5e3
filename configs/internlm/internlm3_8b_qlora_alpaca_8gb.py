"""InternLM3-8B-Instruct, its weights in 4 bits, learns Alpaca's 52,000 instructions on 8 GB.

Run:       xtune train internlm3_8b_qlora_alpaca_8gb
Hardware:  one GPU of 8 GB: 7.0 GiB estimated in bf16
Result:    not run; its family is proven on a tiny checkpoint
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.settings.qlora_8gb import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.alpaca import *
    from .._base_.schedules.cosine_8bit import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'internlm/internlm3-8b-instruct'
prompt_template = 'default'  # its own is used with auto, if its tokenizer_config.json has one
# 0.2 GiB less than the settings' rank; alpha stays, and the learning rate with it
lora = dict(
    type='LoraConfig',
    r=8,
    lora_alpha=16,
    lora_dropout=0.1,
    target_modules='all-linear',
    modules_to_save=None)
# about 500 optimizer steps in all
save_steps = 100
evaluation_freq = 100
evaluation_inputs = ['上海有哪些值得一去的地方？', 'Why is the sky blue? Answer in two sentences.']
