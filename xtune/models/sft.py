"""Supervised fine-tuning: the loss of a language model on the trained tokens of a batch.

The backbone and the head are called apart, through transformers' public seams, so that logits
exist for trained positions only and a chunk at a time.

    most families            the backbone runs once, on all documents end to end
    Gemma 2, BLOOM, Mamba    it runs once for each document, with the family's own attention
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from xtune.errors import ModelError
from xtune.models.attention import NAME, kernel_for, varlen_arguments, why_not_one_row
from xtune.models.fused import fuse
from xtune.models.generation import base_of
from xtune.models.head import Head
from xtune.models.liger import fuse_with_liger
from xtune.models.quantization import keep_differentiable
from xtune.models.recomputation import checkpoint_layers
from xtune.models.shape_rounding import with_rounded_length
from xtune.registry import MODELS
from xtune.structures import Batch

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel
    from transformers import PreTrainedModel

__all__ = ["SupervisedFinetune"]

logger = logging.getLogger(__name__)


@MODELS.register_module()
class SupervisedFinetune(nn.Module):
    """A language model with the next-token loss on packed documents.

    Args:
        llm: a transformers model, or a PeftModel. Its attention is set to xtune's, where the
            family allows it; to run it on plain inputs use `with generation_mode(model.llm)`.
        adapter: a PEFT config to attach; without one all weights are trained.
        loss_chunk_size: trained positions whose logits are held at once.
        gradient_checkpointing: which layers keep their input only and are computed again in the
            backward pass: False none, True all, k the first of every k; 'auto' is the runner's to
            choose, and all here. See `xtune.models.recomputation`.
        activation_offload: these inputs wait in the host's memory.
        fused: compute linear layers together with their adapters, norms, and rotary positions in
            fewer passes over memory, where a layer is of a kind that is known; the others keep
            their own code.

    Raises:
        ModelError: an adapter that adds tokens to the input; a family that cannot compute its
            layers again.
        AdapterError: an adapter that does not fit the model.
        ConfigError: a checkpointing that does not exist, or offload of nothing.
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
        self.llm: PreTrainedModel | PeftModel = llm
        if adapter is not None:
            from xtune.models.adapters import attach_adapter  # imports PEFT

            self.llm = attach_adapter(llm, adapter)
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
        reason = why_not_one_row(base)
        self.one_row = reason is None
        if reason is None:
            base.set_attn_implementation(NAME)
            logger.log(_level(base), "attention: %s", _kernel_of(base))
        else:
            kind = base.config.get_text_config().model_type
            logger.log(_level(base), "%s is run document by document: %s", kind, reason)
        if fused:
            fuse(self.llm, level=_level(base))
            if base.device.type == "cuda":
                fuse_with_liger(base)
        checkpoint_layers(base, gradient_checkpointing, offload=activation_offload)
        self.train()

    def forward(self, batch: Batch, *, normalizer: float) -> dict[str, Tensor]:
        """Compute the loss of one micro-batch.

        Args:
            batch: documents end to end, labels already shifted.
            normalizer: trained tokens of the whole optimizer step, each counted by its weight,
                over all its micro-batches and ranks; so that any split of the same tokens gives
                the same gradient.

        Returns:
            `loss`: fp32 scalar, the weighted cross-entropy summed / normalizer. When
            nothing is trained it is 0 and still has a gradient (of zeros).
        """
        hidden = self.hidden_states(batch)[0]
        head = Head.of(base_of(self.llm))
        weights = None if batch.weights is None else batch.weights[0]
        total = head.loss(hidden, batch.labels[0], chunk_size=self.loss_chunk_size, weights=weights)
        return {"loss": total / (normalizer or 1)}

    def hidden_states(self, batch: Batch) -> Tensor:
        """Return what the backbone makes of a batch: [1, T, D]."""
        backbone = base_of(self.llm).base_model
        # A cache makes transformers ignore the boundaries, and holds what no one will ask for.
        run: Any = functools.partial(backbone, use_cache=False)
        if self.one_row:
            row = with_rounded_length(batch)
            arguments = varlen_arguments(row) | {"position_ids": row.position_ids}
            hidden = run(input_ids=row.input_ids, **arguments).last_hidden_state
            return hidden[:, : batch.tokens]
        # Each begins at position 0 and has no padding, so that nothing but its ids is needed.
        documents = batch.input_ids.split(batch.cu_seqlens.diff().tolist(), dim=1)
        return torch.cat([run(input_ids=ids).last_hidden_state for ids in documents], dim=1)


def _level(base: PreTrainedModel) -> int:
    """How loud a message on a model is: a draft without weights is not the one that runs."""
    return logging.DEBUG if base.device.type == "meta" else logging.INFO


def _kernel_of(base: PreTrainedModel) -> str:
    """What attends: on a GPU, and under autocast anywhere, in 16 bits."""
    config = base.config.get_text_config()
    dtype = base.dtype if base.device.type == "cpu" else torch.bfloat16
    plain = not getattr(config, "attn_logit_softcapping", None) and not getattr(
        config, "alibi", False
    )
    kernel = kernel_for(base.device, dtype, plain=plain)
    autocast = kernel_for(base.device, torch.bfloat16, plain=plain)
    # Which of them runs is the strategy's to say, on the line with the device and the precision.
    return kernel if kernel == autocast else f"{kernel}; if computed in bf16, {autocast}"
