from mmengine.config import read_base

with read_base():
    from .sft import *

# Requests and the calls that answer them, generated from a seed: xtune/demos/toolcall.py
data_path = 'toolcall'
val_data_path = 'toolcall'
map_fn = 'openai'
SYSTEM = 'Tools: convert exchange weather timer remind'  # what the rows have

# What `xtune eval` measures, before and after; with every=500 the training does so too. Calls, and
# what has become of what the model knew: easy questions, and the bits that plain English takes
evaluations = [
    dict(type='ToolCallEvaluation', data_path=data_path, split='held_out', max_new_tokens=40),
    dict(type='CommonKnowledge'),
    dict(type='EverydayText'),
]
