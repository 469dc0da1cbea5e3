"""Weights in a layout of their own: a model class names the transforms, forwards and backwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from transformers.conversion_mapping import register_checkpoint_conversion_mapping
from transformers.core_model_loading import WeightTransform, revert_weight_conversion

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

__all__ = ["converts", "original_weights"]


def original_weights(llm: PreTrainedModel) -> dict[str, Tensor]:
    """Undo the conversions of a model's class; whatever layout it was loaded from."""
    # Unset, transformers takes all that are registered, not those that the loading needed.
    used = llm.__dict__.pop("_weight_conversions", None)
    try:
        return revert_weight_conversion(llm, llm.state_dict())
    finally:
        if used is not None:
            llm._weight_conversions = used


def converts(*transforms: WeightTransform) -> Any:
    """Class decorator: the weights of this model class may come in a layout of their own.

    transformers applies the transforms while it loads, one tensor at a time, before it
    quantizes, and backwards when the original layout is written. A folder that already has the
    class's own names loads too, since no pattern matches there.

        @converts(WeightRenaming(r"^output\\.", "lm_head."))
        class InternLM2ForCausalLM(LlamaForCausalLM): ...
    """

    def register(model_class: type[PreTrainedModel]) -> type[PreTrainedModel]:
        conversions: Sequence[Any] = transforms
        register_checkpoint_conversion_mapping(model_class.__name__, list(conversions))
        return model_class

    return register
