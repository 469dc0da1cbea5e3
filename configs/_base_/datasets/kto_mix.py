from mmengine.config import read_base

with read_base():
    from .unpaired import *

# 14,000 answers, each good or bad
data_path = 'trl-lib/kto-mix-14k'
map_fn = 'unpaired_preference'
evaluation_inputs = [
    'Give three tips to sleep better.', 'Write a short, polite letter to a noisy neighbour.']
