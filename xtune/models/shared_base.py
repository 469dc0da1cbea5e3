"""A second model over the frozen weights of a first one: a critic, or a reward model.

    policy    layers + its adapter + head      weights of the layers: one in memory
    critic    layers + its adapter + score

The second one is a tree of modules of its own, with an adapter and a mode of its own, so that
nothing is switched to and fro; what is not its own is the same tensors.
"""

from __future__ import annotations

import copy
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from xtune.models.generation import base_of
from xtune.models.sequence_classifier import classifier_of

__all__ = ["TrainedWeights", "shared_classifier"]


def shared_classifier(llm: Any) -> PreTrainedModel:
    """Return a model that scores, with a new head, over the layers of a language model.

    Args:
        llm: as it was loaded, and not yet set up to be trained; a PeftModel lends its base.

    Raises:
        ModelError: transformers has no class with a score for the family.
    """
    tensors = [*llm.parameters(), *llm.buffers()]
    copied = copy.deepcopy(llm, {id(tensor): tensor for tensor in tensors})
    language_model: Any = copied.unload() if hasattr(copied, "peft_config") else base_of(copied)
    return classifier_of(language_model)


class TrainedWeights(nn.Module):
    """What is trained of a model, under its own names, and nothing of what it shares.

    Args:
        model: its parameters that require a gradient become this module's.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            place: nn.Module = self
            *path, last = name.split(".")
            for part in path:
                if part not in place._modules:
                    place.add_module(part, nn.Module())
                place = place.get_submodule(part)
            place.register_parameter(last, parameter)
