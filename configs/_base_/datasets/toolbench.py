from mmengine.config import read_base

with read_base():
    from .sft import *

# Each dialogue brings its own system text, which lists the tools
data_path = 'Yhyu13/ToolBench_toolllama_G123_dfs'
map_fn = 'toolbench'
