from mmengine.config import read_base

with read_base():
    from .sft import *

# A mixture: every row of both, once an epoch
data_path = [
    dict(data_path='tatsu-lab/alpaca', map_fn='alpaca'),
    dict(data_path='silk-road/alpaca-data-gpt4-chinese', map_fn='alpaca_zh')]
evaluation_inputs = ['Give three tips to stay healthy.', '请用两句话解释天空为什么是蓝色的。']
