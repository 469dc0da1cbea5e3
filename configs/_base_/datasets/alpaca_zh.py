from mmengine.config import read_base

with read_base():
    from .sft import *

data_path = 'silk-road/alpaca-data-gpt4-chinese'
map_fn = 'alpaca_zh'
evaluation_inputs = ['给出三条保持健康的建议。', '请用两句话解释天空为什么是蓝色的。']
