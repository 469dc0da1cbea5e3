from mmengine.config import read_base

with read_base():
    from .prompts import *

# Requests, and the calls that are right: xtune/demos/toolcall.py
data_path = 'toolcall'
val_data_path = 'toolcall'
map_fn = 'openai'
SYSTEM = 'Tools: convert exchange weather timer remind'  # what the rows have

evaluations = [
    dict(type='ToolCallEvaluation', data_path=data_path, split='held_out', max_new_tokens=40),
    dict(type='CommonKnowledge'),
    dict(type='EverydayText'),
]
