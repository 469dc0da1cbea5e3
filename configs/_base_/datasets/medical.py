from mmengine.config import read_base

with read_base():
    from .sft import *

data_path = dict(type='hub', path='shibing624/medical', name='finetune')
map_fn = 'medical'
SYSTEM = '你是一名专业的医生，请用易懂的语言回答患者的问题。'
evaluation_inputs = ['我最近总是感到头晕，可能是什么原因？', '高血压患者的饮食要注意什么？']
