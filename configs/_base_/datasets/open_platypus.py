from mmengine.config import read_base

with read_base():
    from .sft import *

data_path = 'garage-bAInd/Open-Platypus'
map_fn = 'alpaca'
evaluation_inputs = ['A fair die is rolled twice. How likely is a sum of 9?']
