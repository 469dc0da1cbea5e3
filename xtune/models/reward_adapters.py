"""Adapters of reward models: a head that is trained whole, and no other kind of base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft import PeftConfig, PeftModel
from transformers import PreTrainedModel

from xtune.errors import AdapterError
from xtune.models.generation import base_of
from xtune.models.sequence_classifier import is_classifier
from xtune.models.tied import saved_whole

__all__ = ["is_reward_adapter", "name_what_is_saved", "require_same_task"]

_SCORES = "SEQ_CLS"  # task_type of a reward model's


def is_reward_adapter(folder: str | Path) -> bool:
    """Tell whether an adapter's folder says that it is a reward model's.

    Args:
        folder: with adapter_config.json.
    """
    return PeftConfig.from_pretrained(str(folder)).task_type == _SCORES


def name_what_is_saved(peft_model: PeftModel) -> None:
    """Keep what there is in a reward model's `modules_to_save`: PEFT adds all that might be.

    Args:
        peft_model: its config is changed.
    """
    config: Any = peft_model.active_peft_config
    if config.task_type == _SCORES:
        paths = [path for path, _ in peft_model.get_base_model().named_modules()]
        config.modules_to_save = [
            entry
            for entry in dict.fromkeys(config.modules_to_save or ())
            if any(saved_whole(path, [entry]) for path in paths)
        ]


def require_same_task(llm: PreTrainedModel | PeftModel, config: PeftConfig, folder: Path) -> None:
    """Refuse a reward model's adapter on a language model, and the other way round.

    Args:
        llm: the base, with other adapters or without.
        config: of the adapter.
        folder: of the adapter.

    Raises:
        AdapterError: it is that; says what to do.
    """
    scores = config.task_type == _SCORES
    if scores == is_classifier(base_of(llm)):
        return
    if scores:
        raise AdapterError(
            f"the adapter in {str(folder)!r} is a reward model's: it scores answers and writes "
            f"none. Score with it: xtune score {folder} DATA"
        )
    raise AdapterError(
        f"the adapter in {str(folder)!r} is a language model's, and has no head that scores. Merge "
        f"it (xtune export {folder} DIR), and train the reward model from what that writes: "
        "pretrained_model_name_or_path=DIR"
    )
