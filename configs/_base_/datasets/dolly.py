from mmengine.config import read_base

with read_base():
    from .sft import *

data_path = 'databricks/databricks-dolly-15k'
map_fn = 'dolly'
evaluation_inputs = [
    'Which is a bird, and which is a fish: heron, herring?',
    'Why do leaves fall in autumn?']
