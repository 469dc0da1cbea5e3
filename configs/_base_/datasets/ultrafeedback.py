from mmengine.config import read_base

with read_base():
    from .preference import *

# 61,000 pairs of answers of many models, rated by GPT-4; rows of TruthfulQA are taken out
data_path = 'argilla/ultrafeedback-binarized-preferences-cleaned'
map_fn = 'ultrafeedback_cleaned'
evaluation_inputs = [
    'Give three tips to sleep better.', 'Write a short, polite letter to a noisy neighbour.']
