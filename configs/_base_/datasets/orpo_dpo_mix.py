from mmengine.config import read_base

with read_base():
    from .preference import *

# 44,000 pairs of several sets, chosen for DPO and ORPO
data_path = 'mlabonne/orpo-dpo-mix-40k'
map_fn = 'orpo_dpo_mix_40k'
evaluation_inputs = ['Explain to a child why the sea is salty.', '请给我介绍五个上海的景点。']
