from mmengine.config import read_base

with read_base():
    from .sft import *

data_path = 'nampdn-ai/tiny-codes'
map_fn = 'tiny_codes'
SYSTEM = 'You are a professional programmer. Answer with correct, readable code.'
evaluation_inputs = ['Write a Lua function that counts the words of a text.']
