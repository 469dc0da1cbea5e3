from mmengine.config import read_base

with read_base():
    from .sft import *

data_path = 'timdettmers/openassistant-guanaco'
map_fn = 'oasst1'
evaluation_inputs = ['Can you explain what a hash table is?', '请给我介绍五个上海的景点。']
