"""Supervised fine-tuning: the loss of a language model on the trained tokens of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from torch import Tensor

from xtune.models.algorithms.backbone import Backbone
from xtune.models.algorithms.base import Algorithm, ModelPart
from xtune.registry import MODELS
from xtune.structures import Batch

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel

__all__ = ["SupervisedFinetune"]


@MODELS.register_module()
class SupervisedFinetune(Algorithm):
    """A language model with the next-token loss on packed documents.

    Args:
        llm: as `Backbone` takes it, with the next four.
        adapter: a PEFT config to attach; without one all weights are trained.
        loss_chunk_size: trained positions whose logits are held at once.
        gradient_checkpointing: which layers are computed again in the backward pass.
        activation_offload: their inputs wait in the host's memory.
        fused: compute layers in fewer passes over memory, where they are of a known kind.

    Raises:
        ModelError, AdapterError, ConfigError: see `Backbone`.
    """

    def __init__(
        self,
        llm: PreTrainedModel,
        *,
        adapter: PeftConfig | None = None,
        loss_chunk_size: int = 256,
        gradient_checkpointing: bool | int | Literal["auto"] = False,
        activation_offload: bool = False,
        fused: bool = True,
    ) -> None:
        super().__init__()
        self.backbone = Backbone(
            llm,
            adapter=adapter,
            gradient_checkpointing=gradient_checkpointing,
            activation_offload=activation_offload,
            fused=fused,
        )
        self.llm = self.backbone.model
        self.loss_chunk_size = loss_chunk_size

    def forward(self, batch: Batch, *, normalizer: float) -> dict[str, Tensor]:
        """Compute the loss of one micro-batch.

        Args:
            batch: documents end to end, labels already shifted.
            normalizer: trained tokens of the whole optimizer step, each counted by its weight,
                over all its micro-batches and ranks.

        Returns:
            `loss`: fp32 scalar, the weighted cross-entropy summed / normalizer. When
            nothing is trained it is 0 and still has a gradient (of zeros).
        """
        hidden = self.backbone.hidden_states(batch)[0]
        weights = None if batch.weights is None else batch.weights[0]
        total = self.backbone.head.loss(
            hidden, batch.labels[0], chunk_size=self.loss_chunk_size, weights=weights
        )
        return {"loss": total / (normalizer or 1)}

    def weight(self, batch: Batch) -> float:
        """Return its trained tokens, each counted by its weight."""
        return batch.trained_weight

    def parts(self) -> dict[str, ModelPart]:
        """Return the language model."""
        return {"llm": ModelPart(self.llm, saved_as="model")}

    def backbones(self) -> list[Backbone]:
        """Return the language model's."""
        return [self.backbone]
