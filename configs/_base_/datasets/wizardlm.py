from mmengine.config import read_base

with read_base():
    from .sft import *

data_path = 'WizardLMTeam/WizardLM_evol_instruct_V2_196k'
map_fn = 'wizardlm'
evaluation_inputs = [
    'Explain recursion to a cook.',
    'Write a regular expression for dates like 2026-11-25.']
