from mmengine.config import read_base

with read_base():
    from .sft import *

# As Thought, Action, Action Input, Response and Final Answer, for a ReAct agent
data_path = 'modelscope:damo/MSAgent-Bench'
map_fn = 'msagent_react'
evaluation_inputs = ['上海明天的天气怎么样？']
