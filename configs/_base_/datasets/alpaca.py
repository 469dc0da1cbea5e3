from mmengine.config import read_base

with read_base():
    from .sft import *

data_path = 'tatsu-lab/alpaca'
map_fn = 'alpaca'
