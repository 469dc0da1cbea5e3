"""Several adapters on one base, of which one is used at a time, or none."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xtune.errors import AdapterError

__all__ = ["AdapterSwitch"]


class AdapterSwitch:
    """A base and its adapters, each of which answers as if it were alone.

    Args:
        llm: the base; changed in place.
        folders: of adapters, trained on it.

    Attributes:
        llm: the base with all adapters; without any, the base itself.

    Raises:
        AdapterError: an adapter that does not fit, or that stands only alone.
    """

    def __init__(self, llm: Any, folders: Sequence[Path]) -> None:
        if len(folders) > 1:
            for folder in folders:
                _refuse_what_stands_alone(folder)
        self.llm: Any = llm
        rows = llm.get_input_embeddings().weight.shape[0]
        for number, folder in enumerate(folders):
            from xtune.models.adapters import load_adapter  # imports PEFT

            self.llm = load_adapter(self.llm, folder, name=_name(number))
            if len(folders) > 1 and self.llm.get_input_embeddings().weight.shape[0] != rows:
                raise _alone(folder, "adds tokens to the vocabulary")
        self.llm.eval()
        self._off = contextlib.ExitStack()
        self._used: int | None = len(folders) - 1 if folders else None

    def use(self, number: int | None) -> None:
        """Let the adapter of a number answer from now on; None: the base without any.

        Args:
            number: of the folder, from 0.
        """
        if number == self._used:
            return
        self._off.close()
        if number is None:
            self._off.enter_context(self.llm.disable_adapter())
        else:
            self.llm.set_adapter(_name(number))
        self._used = number


def _name(number: int) -> str:
    return f"adapter_{number}"  # PEFT's names have no dots


def _refuse_what_stands_alone(folder: Path) -> None:
    """Refuse what changes more of the base than another adapter may find changed."""
    from peft import LoraConfig, PeftConfig

    config: Any = PeftConfig.from_pretrained(str(folder))
    if not isinstance(config, LoraConfig):
        raise _alone(folder, f"is of the kind {type(config).__name__}")
    for field in ("modules_to_save", "trainable_token_indices"):
        if getattr(config, field, None):
            raise _alone(folder, f"has {field}")


def _alone(folder: Path, why: str) -> AdapterError:
    return AdapterError(
        f"the adapter in {str(folder)!r} {why}: it cannot share a base with other adapters. Serve "
        f"it alone, or as a model of its own: xtune export {folder} OUT"
    )
