"""SmolLM2-135M, all its weights, is trained further on the English Wikipedia.

Run:       xtune train smollm2_135m_full_pretrain_wikipedia
Hardware:  one GPU of 6 GB: 4.6 GiB estimated in bf16; or a patient laptop
Result:    not run with the published weights; two steps on a tiny model of its family, in the tests
"""
from mmengine.config import read_base

with read_base():
    from .._base_.settings.sft import *
    from .._base_.models.causal_lm import *
    from .._base_.datasets.pretrain_wikipedia import *
    from .._base_.schedules.cosine import *
    from .._base_.runtimes.default import *

pretrained_model_name_or_path = 'HuggingFaceTB/SmolLM2-135M'
prompt_template = 'default'  # a base model has no template of its own
max_steps = 10000  # of 32,768 tokens each: the data are streamed, and have no end that is known
