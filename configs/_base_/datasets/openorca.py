from mmengine.config import read_base

with read_base():
    from .sft import *

data_path = 'Open-Orca/OpenOrca'
map_fn = 'openorca'
evaluation_inputs = [
    'Write one sentence that sums up: The bakery opens at six and is sold out by nine.']
