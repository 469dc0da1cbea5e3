from mmengine.config import read_base

with read_base():
    from .toolcall_pairs import *
    from .unpaired import *
