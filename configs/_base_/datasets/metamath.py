from mmengine.config import read_base

with read_base():
    from .sft import *

data_path = 'meta-math/MetaMathQA'
map_fn = 'metamath'
evaluation_inputs = ['A train leaves at 9:40 and arrives at 11:05. How long does it take?']
