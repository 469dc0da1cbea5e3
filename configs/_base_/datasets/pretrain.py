from mmengine.config import read_base

with read_base():
    from .sft import *

# Rows of {text}, trained whole
data_path = 'data.jsonl'
map_fn = 'pretrain'
