"""One pass of a model over new columns of its rows, in one process or in all that share it."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor
from transformers import Cache

from xtune.models import base_of
from xtune.models.attention.alike import NAME as ALIKE
from xtune.parallel.in_step import agree
from xtune.parallel.progress import beat

__all__ = ["ModelForward"]


class ModelForward:
    """A pass of the model; where processes share it, all make one or none does.

    Args:
        llm: a causal language model in generation mode.
        device: where its embedding is.
        together: other processes have a part of it.

    Attributes:
        from_start: its attention wants rows that begin in column 0; see `RowCache`.
    """

    def __init__(self, llm: Any, device: torch.device, *, together: bool = False) -> None:
        self._llm = llm
        self._device = device
        self._together = together
        base = base_of(llm)
        self.from_start = base.config._attn_implementation == ALIKE
        self._takes_positions = _takes(base, "position_ids")
        self._further: dict[str, Any] = (
            {"logits_to_keep": 1} if _takes(base, "logits_to_keep") else {}
        )

    def __call__(
        self,
        ids: Tensor,
        mask: Tensor | None,
        positions: Tensor,
        cache: Cache,
        *,
        every: bool = False,
    ) -> Tensor:
        """Return the logits after the last of the new tokens, [S, V]; see `Forward`."""
        beat()  # a training run may be waiting for this process
        self._somebody_works(True)
        further = {} if every else dict(self._further)
        if self._takes_positions:
            further["position_ids"] = positions
        said = self._llm(
            input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, **further
        )
        logits: Tensor = said.logits
        return logits if every else logits[:, -1]

    def wait_for_the_others(self) -> None:
        """Take part in the passes of the processes that are not done yet."""
        nothing = torch.zeros((1, 1), dtype=torch.long, device=self._device)
        while self._somebody_works(False):
            beat()
            self._llm(input_ids=nothing, use_cache=False, **self._further)

    def _somebody_works(self, mine: bool) -> bool:
        if not self._together:
            return False
        return bool(agree(int(mine)))


def _takes(base: Any, name: str) -> bool:
    return name in inspect.signature(base.forward).parameters
