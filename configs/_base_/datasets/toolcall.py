from mmengine.config import read_base

with read_base():
    from .sft import *

# Requests and the calls that answer them, generated from a seed: xtune/demos/toolcall.py
data_path = 'toolcall'
val_data_path = 'toolcall'
map_fn = 'openai'
SYSTEM = 'Tools: convert exchange weather timer remind'  # what the rows have

# What `xtune eval` measures, before and after
test_cfg = dict(
    type='ToolCallEvaluation',
    data_path=data_path,
    split='held_out',
    batch_size=120,
    max_new_tokens=40)
