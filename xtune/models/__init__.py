"""Language models: loading, quantization, adapters, attention, and the algorithms that train them.

    build_model(cfg)            everything below, from the sheet's `model` dict
    load_model, load_tokenizer  a hub id, a folder, a .gguf file, or the alias smollm2
    Algorithm, Backbone         what trains: the contract, and a language model run on batches
    SupervisedFinetune          the loss on packed documents
    PreferenceOptimization      the losses of pairs of answers
    RewardModel                 a score instead of words: the losses of reward and cost models
    UnpairedPreferenceOptimization  those of answers that are judged one by one
    generation_mode             let the model that is being trained answer

Names are imported when they are first used: `import xtune.models` does not import torch.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xtune.models.adapters import attach_adapter, load_adapter, merge_adapter
    from xtune.models.algorithms.backbone import Backbone
    from xtune.models.algorithms.base import Algorithm, ModelPart
    from xtune.models.algorithms.preference import PreferenceOptimization
    from xtune.models.algorithms.reward import RewardModel
    from xtune.models.algorithms.sft import SupervisedFinetune
    from xtune.models.algorithms.unpaired import UnpairedPreferenceOptimization
    from xtune.models.build import build_model
    from xtune.models.fingerprint import base_fingerprint, same_base
    from xtune.models.generation import base_of, generation_mode
    from xtune.models.loading import load_config, load_model
    from xtune.models.precision import Precision, choose_precision
    from xtune.models.tokenizer import load_tokenizer

# On processors with AVX512-BF16 bitsandbytes warns at every import that a kernel which it would
# fetch from a hub, and which only inference could use, is not there.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)

__all__ = [
    "Algorithm",
    "Backbone",
    "ModelPart",
    "Precision",
    "PreferenceOptimization",
    "RewardModel",
    "SupervisedFinetune",
    "UnpairedPreferenceOptimization",
    "attach_adapter",
    "base_fingerprint",
    "base_of",
    "build_model",
    "choose_precision",
    "generation_mode",
    "load_adapter",
    "load_config",
    "load_model",
    "load_tokenizer",
    "merge_adapter",
    "same_base",
]

_HOMES = {
    "Algorithm": "algorithms.base",
    "Backbone": "algorithms.backbone",
    "ModelPart": "algorithms.base",
    "Precision": "precision",
    "PreferenceOptimization": "algorithms.preference",
    "RewardModel": "algorithms.reward",
    "SupervisedFinetune": "algorithms.sft",
    "UnpairedPreferenceOptimization": "algorithms.unpaired",
    "attach_adapter": "adapters",
    "base_fingerprint": "fingerprint",
    "base_of": "generation",
    "build_model": "build",
    "choose_precision": "precision",
    "generation_mode": "generation",
    "load_adapter": "adapters",
    "load_config": "loading",
    "load_model": "loading",
    "load_tokenizer": "tokenizer",
    "merge_adapter": "adapters",
    "same_base": "fingerprint",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
