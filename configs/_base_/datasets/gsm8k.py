from mmengine.config import read_base

with read_base():
    from .sft import *

data_path = dict(type='hub', path='openai/gsm8k', name='main')
map_fn = 'gsm8k'
evaluation_inputs = ['A shelf holds 4 boxes of 12 cups. 5 cups break. How many are whole?']
