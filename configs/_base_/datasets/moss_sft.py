from mmengine.config import read_base

with read_base():
    from .sft import *

# Each dialogue brings its own system text, which says what plugins are enabled
data_path = 'fnlp/moss-003-sft-data'
map_fn = 'moss_003_sft'
evaluation_inputs = ['一个半径为 3 的圆，面积是多少？', '今天有什么新闻？']
# MOSS's marks, each to become one token; a tokenizer that has one already leaves it as it is
added_tokens = ['<eoh>', '<eot>', '<eoc>', '<eor>', '<eom>']
