from mmengine.config import read_base

with read_base():
    from .sft import *

data_path = 'YeungNLP/firefly-train-1.1M'
map_fn = 'firefly'
evaluation_inputs = ['把这句话翻译成文言文：我很久没有见到他了。', '写一副关于春天的对联。']
