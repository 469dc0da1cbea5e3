from mmengine.config import read_base

with read_base():
    from .sft import *

# LawGPT's two files, as XTuner used them, have map_fns of their own: crime_kg_assitant and
# law_reference
data_path = 'Skepsun/lawyer_llama_data'
map_fn = 'alpaca'
SYSTEM = '你是一名专业的中国律师，请依据法律条文准确作答。'
evaluation_inputs = ['公司一直没有和我签劳动合同，我可以要求什么？', '酒后驾驶会受到什么处罚？']
