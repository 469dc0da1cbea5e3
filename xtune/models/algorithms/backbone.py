"""`Backbone`: a language model that an algorithm runs on batches of documents end to end.

The model's layers and its head are called apart, through transformers' public seams, so that
logits exist for the positions that are asked for only, and a chunk at a time.

    most families            the layers run once, on all documents end to end
    Gemma 2, BLOOM, Mamba    they run once for each document, with the family's own attention

Shapes: T tokens of a batch, D width.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from xtune.errors import ModelError
from xtune.models.algorithms.shared_prompt import Folded, fold
from xtune.models.attention import NAME, kernel_for, varlen_arguments, why_not_one_row
from xtune.models.fused import fuse
from xtune.models.generation import base_of
from xtune.models.head import Head
from xtune.models.liger import fuse_with_liger
from xtune.models.quantization import keep_differentiable
from xtune.models.recomputation import checkpoint_layers
from xtune.models.repeated_layers import repeated_layers
from xtune.models.shape_rounding import with_rounded_length
from xtune.structures import Batch

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel
    from transformers import PreTrainedModel

__all__ = ["Backbone"]

logger = logging.getLogger(__name__)


class Backbone:
    """A language model, set up to be run on batches.

    It is no module: the algorithm has `model` as an attribute of its own, by a part's name.

    Args:
        llm: a transformers model, or a PeftModel. Its attention is set to xtune's, where the
            family allows it; to run it on plain inputs use `generation_mode(llm)`.
        adapter: a PEFT config to attach; without one all weights are trained.
        frozen: nothing of it is trained: a reference.
        gradient_checkpointing: which layers keep their input only and are computed again in the
            backward pass: False none, True all, k the first of every k; 'auto' is the runner's to
            choose, and all here. See `xtune.models.recomputation`.
        activation_offload: these inputs wait in the host's memory.
        fused: compute linear layers together with their adapters, norms, and rotary positions in
            fewer passes over memory, where a layer is of a kind that is known; the others keep
            their own code.

    Attributes:
        model: the language model, a PeftModel if it has an adapter.
        why_apart: why its documents are run one by one; None where they are run end to end.
        shares_prompts: what answers to one prompt begin with alike is computed once; the self-test
            sets it to False where that is wrong.

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
        frozen: bool = False,
        gradient_checkpointing: bool | int | Literal["auto"] = False,
        activation_offload: bool = False,
        fused: bool = True,
    ) -> None:
        self.model: PreTrainedModel | PeftModel = llm
        self.why_apart: str | None = None
        self.shares_prompts = True
        with repeated_layers(self.base, self._list(), adapter, gradient_checkpointing):
            self._make_ready(adapter, frozen=frozen, fused=fused)
            checkpoint_layers(self.base, gradient_checkpointing, offload=activation_offload)
            self.model.train(not frozen)

    def _make_ready(self, adapter: PeftConfig | None, *, frozen: bool, fused: bool) -> None:
        if adapter is not None:
            from xtune.models.adapters import attach_adapter  # imports PEFT

            self.model = attach_adapter(self.base, adapter)
        base = self.base
        if any(
            config.is_prompt_learning for config in getattr(self.model, "peft_config", {}).values()
        ):
            raise ModelError(
                "prompt-learning adapters add tokens to the input, which packed documents do not "
                "allow; use LoraConfig or another adapter that changes the layers"
            )
        if frozen:
            self.model.requires_grad_(False)
        keep_differentiable(base)
        self.why_apart = why_not_one_row(base)
        if self.why_apart is None:
            base.set_attn_implementation(NAME)
            logger.log(_level(base), "attention: %s", _kernel_of(base))
        else:
            logger.log(
                _level(base), "%s is run document by document: %s", self.family, self.why_apart
            )
        if fused:
            fuse(self.model, level=_level(base))
            if base.device.type == "cuda":
                fuse_with_liger(base)

    @property
    def base(self) -> PreTrainedModel:
        """The transformers model inside `model`."""
        return base_of(self.model)

    @property
    def body(self) -> nn.Module:
        """What makes hidden states of tokens: the base without its head."""
        return self.base.base_model

    @property
    def family(self) -> str:
        """Its model_type: 'llama'."""
        return str(self.base.config.get_text_config().model_type)

    @property
    def head(self) -> Head:
        """From hidden states to logits, as it is now: PEFT may switch an adapter on it off."""
        return Head.of(self.base)

    @property
    def layers(self) -> nn.ModuleList:
        """The decoder's layers, in order.

        Raises:
            ModelError: it has no list of so many modules as its config says.
        """
        if (found := self._list()) is None:
            raise ModelError(
                f"no list of {self._count} layers was found in {type(self.base).__name__}, so it "
                "can be neither estimated nor sharded layer by layer: use SingleStrategy or "
                "DDPStrategy"
            )
        return found

    @property
    def _count(self) -> int:
        return self.base.config.get_text_config().num_hidden_layers

    def _list(self) -> nn.ModuleList | None:
        lists = (module for module in self.body.modules() if isinstance(module, nn.ModuleList))
        return next((one for one in lists if len(one) == self._count), None)

    def hidden_states(self, batch: Batch) -> Tensor:
        """Return what the layers make of a batch: [1, T, D].

        Each document's are as if it were alone, also where what it begins with is computed once.
        """
        # A cache makes transformers ignore the boundaries, and holds what no one will ask for.
        run: Any = functools.partial(self.body, use_cache=False)
        if (folded := self._folded(batch)) is not None:
            arguments = varlen_arguments(folded.documents) | {"unfolding": folded.unfolding}
            hidden = run(
                input_ids=folded.input_ids, position_ids=folded.position_ids, **arguments
            ).last_hidden_state
            return hidden.index_select(1, folded.unfolding.places[: batch.tokens])
        if self.why_apart is None:
            row = with_rounded_length(batch)
            arguments = varlen_arguments(row) | {"position_ids": row.position_ids}
            hidden = run(input_ids=row.input_ids, **arguments).last_hidden_state
            return hidden[:, : batch.tokens]
        # Each begins at position 0 and has no padding, so that nothing but its ids is needed.
        documents = batch.input_ids.split(batch.cu_seqlens.diff().tolist(), dim=1)
        return torch.cat([run(input_ids=ids).last_hidden_state for ids in documents], dim=1)

    def shared_tokens(self, batch: Batch) -> list[int]:
        """Return with how many tokens each document begins that another one has computed.

        Args:
            batch: on the CPU, or anywhere.
        """
        documents = len(batch.cu_seqlens) - 1
        if (folded := self._folded(batch)) is None:
            return [0] * documents
        return folded.unfolding.shared[:documents]

    def _folded(self, batch: Batch) -> Folded | None:
        return fold(batch) if self.shares_prompts and self.why_apart is None else None

    def log_probs(
        self,
        batch: Batch,
        *,
        chunk_size: int,
        temperature: float = 1.0,
        labels: Tensor | None = None,
        squares: Tensor | None = None,
    ) -> Tensor:
        """Return the log-probability of each label of a batch; `sum_by_document` adds them up.

        Args:
            batch: labels already shifted.
            chunk_size: positions whose logits are held at once, forwards and backwards.
            temperature: of the sampling whose log-probabilities they are, above 0.
            labels: int64 [T], asked for instead of the batch's own; -100 where nothing is.
            squares: fp32 [T], written where a label is asked for; see `Head.log_probs`.

        Returns:
            fp32 [T], in nats; 0 where there is no label. See `Head.log_probs`.
        """
        return self.head.log_probs(
            self.hidden_states(batch)[0],
            batch.labels[0] if labels is None else labels,
            chunk_size=chunk_size,
            temperature=temperature,
            squares=squares,
        )


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
