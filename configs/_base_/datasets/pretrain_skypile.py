from mmengine.config import read_base

with read_base():
    from .sft_streamed import *

data_path = dict(type='hub', path='Skywork/SkyPile-150B', streaming=True)
map_fn = 'pretrain'
evaluation_inputs = ['上海的历史']
