from mmengine.config import read_base

with read_base():
    from .sft_streamed import *

data_path = dict(type='hub', path='wikimedia/wikipedia', name='20231101.en', streaming=True)
map_fn = 'pretrain'
evaluation_inputs = ['Shanghai is']
