from mmengine.config import read_base

with read_base():
    from .preference import *

# Requests, each with a right answer and a plausible wrong one, generated from a seed:
# xtune/demos/toolcall_pairs.py
data_path = 'toolcall_pairs'
val_data_path = 'toolcall_pairs'
map_fn = 'preference'
SYSTEM = 'Tools: convert exchange weather timer remind'  # what the rows have

# What `xtune eval` measures, before and after: which answer of a held-out pair is likelier, and
# what the model answers itself
evaluations = [
    dict(type='PreferenceEvaluation', data_path=data_path, split='held_out', map_fn=map_fn),
    dict(type='ToolCallEvaluation', data_path='toolcall', split='held_out', max_new_tokens=40),
]
