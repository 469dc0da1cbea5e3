"""A model's head, called apart from its backbone, on the trained positions only.

Shapes: N positions, D width, V vocabulary.

What some families do to the logits after the head is honoured here: Gemma bounds them, Cohere
and Granite scale them. `xtune.models.self_test` finds what is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from xtune.losses import chunked_cross_entropy
from xtune.structures import IGNORE_INDEX

__all__ = ["Head"]


@dataclass(frozen=True, slots=True)
class Head:
    """The module from hidden states to logits, and what the family does to these.

    Attributes:
        module: [N, D] -> [N, V].
        scale: factor of the logits.
        softcap: c of `c * tanh(logits / c)`, applied after `scale`.
    """

    module: nn.Module
    scale: float = 1.0
    softcap: float | None = None

    @classmethod
    def of(cls, base: PreTrainedModel) -> Head:
        """Read the head of a transformers model; PEFT may have wrapped the module."""
        module = base.get_output_embeddings()
        if hasattr(module, "modules_to_save"):  # PEFT's wrapper around a head that is trained
            trained = module.modules_to_save[module.active_adapters[0]]
            module = module.original_module if module.disable_adapters else trained
        config = base.config.get_text_config()
        scale = getattr(config, "logit_scale", None) or 1.0
        return cls(
            module=module,
            scale=scale / (getattr(config, "logits_scaling", None) or 1.0),
            softcap=getattr(config, "final_logit_softcapping", None),
        )

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the logits [N, V] of hidden states [N, D]."""
        logits = self.module(hidden) * self.scale
        if self.softcap is not None:
            logits = self.softcap * torch.tanh(logits / self.softcap)
        return logits

    def loss(
        self, hidden: Tensor, labels: Tensor, *, chunk_size: int, weights: Tensor | None = None
    ) -> Tensor:
        """Sum the cross-entropy of the positions that have a label, never holding [N, V].

        Args:
            hidden: [N, D].
            labels: int64 [N]; -100 where nothing is trained.
            chunk_size: positions whose logits are held at once.
            weights: fp32 [N]; the factor of each position's loss; None: 1.

        Returns:
            fp32 scalar.
        """
        weight = self._whole_weight()
        if weight is not None:
            return chunked_cross_entropy(
                hidden if self.scale == 1.0 else hidden * self.scale,
                weight,
                labels,
                bias=self.module.bias if type(self.module) is nn.Linear else None,
                softcap=self.softcap,
                chunk_size=chunk_size,
                weights=weights,
            )
        # A quantized head, or one with LoRA on it: any module will do, its logits are made again
        # in the backward pass.
        trained = labels != IGNORE_INDEX
        hidden, labels = hidden[trained], labels[trained]
        total = hidden.sum().float() * 0.0  # connected also when nothing is trained
        for start in range(0, len(labels), chunk_size):
            chunk = slice(start, start + chunk_size)
            factors = None if weights is None else weights[trained][chunk]
            total = total + checkpoint(
                self._chunk_loss, hidden[chunk], labels[chunk], factors, use_reentrant=False
            )
        return total

    def _whole_weight(self) -> Any:
        """The matrix [V, D] that the hidden states are multiplied with, if it is just that."""
        if type(self.module) is nn.Linear:  # not its subclasses: a quantized weight is packed
            return self.module.weight
        if hasattr(self.module, "token_adapter"):  # PEFT's wrapper: some rows are trained
            return self.module.weight
        return getattr(self.module, "effective_weight", None)  # Baichuan 2's is normalised

    def _chunk_loss(self, hidden: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        logits = self.logits(hidden).float()
        if weights is None:
            return F.cross_entropy(logits, labels, reduction="sum")
        return (F.cross_entropy(logits, labels, reduction="none") * weights).sum()
