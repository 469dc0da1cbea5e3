from mmengine.config import read_base

with read_base():
    from .sft import *

data_path = 'stingning/ultrachat'
map_fn = 'ultrachat'
evaluation_inputs = [
    'How do noise-cancelling headphones work?',
    'Suggest a name for a small bakery.']
