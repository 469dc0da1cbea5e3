from mmengine.config import read_base

with read_base():
    from .sft import *

# Each row brings its own tools, which the template writes: name one that does
data_path = 'Salesforce/xlam-function-calling-60k'
map_fn = 'xlam'
