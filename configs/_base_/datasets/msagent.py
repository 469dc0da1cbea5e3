from mmengine.config import read_base

with read_base():
    from .sft import *

# What the model thinks is its answer; the result of a call comes back as a system message
data_path = 'modelscope:damo/MSAgent-Bench'
map_fn = 'msagent'
evaluation_inputs = ['上海明天的天气怎么样？', '把这句话合成为语音：你好。']
