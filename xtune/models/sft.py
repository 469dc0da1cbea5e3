"""Supervised fine-tuning: the loss of a language model on the trained tokens of a batch.

The backbone and the head are called apart, through transformers' public seams, so that logits
exist for trained positions only and a chunk at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from xtune.errors import ModelError
from xtune.models.adapters import attach_adapter
from xtune.models.attention import use_varlen_attention, varlen_arguments
from xtune.models.generation import base_of
from xtune.models.head import Head
from xtune.models.quantization import keep_differentiable
from xtune.registry import MODELS
from xtune.structures import Batch

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel

__all__ = ["SupervisedFinetune"]


@MODELS.register_module()
class SupervisedFinetune(nn.Module):
    """A language model with the next-token loss on packed documents.

    Args:
        llm: a transformers model, or a PeftModel. Its attention is set to xtune's; to run it on
            plain inputs use `with generation_mode(model.llm)`.
        adapter: a PEFT config to attach; without one all weights are trained.
        loss_chunk_size: trained positions whose logits are held at once.
        gradient_checkpointing: recompute each layer in the backward pass: about 40 % slower,
            and activations of one layer instead of all.

    Raises:
        ModelError: a family whose documents would see each other in a pack.
        AdapterError: an adapter that does not fit the model.
    """

    def __init__(
        self,
        llm: PreTrainedModel,
        *,
        adapter: PeftConfig | None = None,
        loss_chunk_size: int = 256,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.llm = attach_adapter(llm, adapter) if adapter is not None else llm
        self.loss_chunk_size = loss_chunk_size
        base = base_of(self.llm)
        if any(
            config.is_prompt_learning for config in getattr(self.llm, "peft_config", {}).values()
        ):
            raise ModelError(
                "prompt-learning adapters add tokens to the input, which packed documents do not "
                "allow; use LoraConfig or another adapter that changes the layers"
            )
        keep_differentiable(base)
        use_varlen_attention(base)
        if gradient_checkpointing:
            _checkpoint_layers(base)
        self.train()

    def forward(self, batch: Batch, *, normalizer: int) -> dict[str, Tensor]:
        """Compute the loss of one micro-batch.

        Args:
            batch: documents end to end, labels already shifted.
            normalizer: trained tokens of the whole optimizer step, over all its micro-batches
                and ranks; so that any split of the same tokens gives the same gradient.

        Returns:
            `loss`: fp32 scalar, the cross-entropy summed over trained tokens / normalizer. When
            nothing is trained it is 0 and still has a gradient (of zeros).
        """
        hidden = self.hidden_states(batch)[0]
        head = Head.of(base_of(self.llm))
        total = head.loss(hidden, batch.labels[0], chunk_size=self.loss_chunk_size)
        return {"loss": total / max(normalizer, 1)}

    def hidden_states(self, batch: Batch) -> Tensor:
        """Return what the backbone makes of a batch: [1, T, D]."""
        return (
            base_of(self.llm)
            .base_model(
                input_ids=batch.input_ids,
                position_ids=batch.position_ids,
                use_cache=False,  # a cache makes transformers ignore the boundaries
                **varlen_arguments(batch),
            )
            .last_hidden_state
        )


def _checkpoint_layers(base: PreTrainedModel) -> None:
    # Non-reentrant: the reentrant kind gives no gradients at all where the embedding is frozen.
    arguments = {"use_reentrant": False}
    if hasattr(base, "activation_checkpointing_enable"):  # the name since transformers 5.2x
        base.activation_checkpointing_enable(activation_checkpointing_kwargs=arguments)
    else:
        base.gradient_checkpointing_enable(gradient_checkpointing_kwargs=arguments)
