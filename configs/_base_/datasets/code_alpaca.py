from mmengine.config import read_base

with read_base():
    from .sft import *

data_path = 'HuggingFaceH4/CodeAlpaca_20K'
map_fn = 'code_alpaca'
SYSTEM = 'You are a professional programmer. Answer with correct, readable code.'
evaluation_inputs = [
    'Write a Python function that returns the n-th Fibonacci number.',
    'Reverse a linked list in C.']
