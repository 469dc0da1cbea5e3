from mmengine.config import read_base

with read_base():
    from .sft import *

data_path = 'CShorten/ML-ArXiv-Papers'
map_fn = 'arxiv'
SYSTEM = 'You are an expert in naming papers. Give a title that fits the abstract.'
evaluation_inputs = [
    'We show that a small model learns to call tools from a few thousand checked examples.']
