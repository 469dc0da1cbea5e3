from mmengine.config import read_base

with read_base():
    from .ultrafeedback import *
    from .unpaired import *
