from mmengine.config import read_base

with read_base():
    from .sft import *

data_path = 'Skywork/SkyPile-150B'
map_fn = 'pretrain'
evaluation_inputs = ['上海的历史']
