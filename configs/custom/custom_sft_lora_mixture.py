"""LoRA on several sources of your own data at once: copy this, then edit the list.

Run:       xtune copy-cfg custom_sft_lora_mixture my_run.py
           xtune check my_run.py
           xtune log-dataset my_run.py
           xtune train my_run.py
Edit:      data_path                      a dict for each source: its data_path, its map_fn, and
                                          weight (its share of the samples) or epochs (how often
                                          each is shown), max_rows, seed; docs/en/data.md
           pretrained_model_name_or_path  the model to start from
           prompt_template                'auto' for a chat model, 'default' for a base model
Hardware:  as it stands two CPU cores and 3 GB; a 7B model wants a 24 GB card
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.settings.lora import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.sft import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

# Questions and paragraphs about xtune in its repository, so that the config runs there as it
# stands: three dialogues for each paragraph. A weight shows nothing twice, so the four paragraphs
# decide: 12 of the 30 dialogues. For all of both leave the weights out, or give epochs
data_path = [
    dict(data_path='examples/custom_sft.jsonl', map_fn='openai', weight=3),
    dict(
        data_path=dict(type='files', path='examples/custom_pretrain.txt', sample_by='paragraph'),
        map_fn='pretrain',
        weight=1)]
accumulative_counts = 1
save_steps = 100
evaluation_freq = 100
evaluation_inputs = ['How do I continue a run that was stopped?']
