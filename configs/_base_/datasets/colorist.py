from mmengine.config import read_base

with read_base():
    from .sft import *

data_path = 'burkelibbey/colors'
map_fn = 'colors'
SYSTEM = (
    'You are a professional color designer. Give the hexadecimal code of the color that '
    'is described.')
evaluation_inputs = ['A deep red, like wine held against the light.', '天空蓝，但更亮一些。']
