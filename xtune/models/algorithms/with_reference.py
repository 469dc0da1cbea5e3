"""`WithReference`: a language model that is trained on answers, and what it is held against.

    what is trained              the reference
    a new adapter                the model without it
    an adapter, further          a frozen copy of the adapter as it was when the training began
    every weight                 a model of its own, `ref`
    any, precomputed             log-probabilities that the batch has: `ref_log_prob` by document

Shapes: T tokens, S documents.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from xtune.errors import ConfigError
from xtune.models.algorithms.backbone import Backbone
from xtune.models.algorithms.base import Algorithm, ModelPart
from xtune.parallel.slices import sum_by_document
from xtune.structures import IGNORE_INDEX, Batch
from xtune.vectors import Vector, declare

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel

    from xtune.models.start_adapter import StartAdapter

__all__ = ["REF_LOG_PROB", "ReferencePass", "WithReference", "label_counts", "require_reference"]

# Log-probability of a document's labels under the reference, where it was computed beforehand
REF_LOG_PROB = declare(Vector("ref_log_prob", "document"))


class WithReference(Algorithm):
    """What algorithms that hold answers against a reference have in common.

    No dropout acts, in either model: their difference must be that of their weights.

    Args:
        llm: as `Backbone` takes it, with `adapter` and the last three.
        needs: the loss's name, if it needs a reference; None: it has no use for one.
        ref: the reference, a model of its own.
        adapter: a PEFT config to attach; without one all weights are trained, or the adapter that
            `llm` has.
        precompute_reference: the batches have what the reference says.
        loss_chunk_size: positions whose logits are held at once.
        gradient_checkpointing: which layers are computed again in the backward pass.
        activation_offload: their inputs wait in the host's memory.
        fused: compute layers in fewer passes over memory, where they are of a known kind.

    Attributes:
        start: the copy of the adapter that is trained further, if that is the reference.

    Raises:
        ConfigError: a reference is needed and there is none, or one is given for nothing, or it
            has another vocabulary.
        ModelError, AdapterError: see `Backbone`.
    """

    has_dropout = False

    def __init__(
        self,
        llm: PreTrainedModel,
        *,
        loss_name: str,
        needs_reference: bool,
        ref: PreTrainedModel | None,
        adapter: PeftConfig | None,
        precompute_reference: bool,
        loss_chunk_size: int,
        gradient_checkpointing: bool | int | Literal["auto"],
        activation_offload: bool,
        fused: bool,
    ) -> None:
        super().__init__()
        goes_on = hasattr(llm, "peft_config")
        _require_one(
            loss_name,
            needs_reference,
            named=ref is not None,
            precomputed=precompute_reference,
            has_adapter=goes_on or adapter is not None,
        )
        self.start: StartAdapter | None = None
        if goes_on and needs_reference and ref is None and not precompute_reference:
            from xtune.models.start_adapter import StartAdapter  # imports PEFT

            self.start = StartAdapter(llm)
        self.backbone = Backbone(
            llm,
            adapter=adapter,
            gradient_checkpointing=gradient_checkpointing,
            activation_offload=activation_offload,
            fused=fused,
        )
        self.llm = self.backbone.model
        self.reference = None if ref is None else Backbone(ref, frozen=True, fused=fused)
        self.ref = None if self.reference is None else self.reference.model
        if self.reference is not None:
            _require_rows(self.backbone.base, self.reference.base)
        self.needs_reference = needs_reference
        self.precompute_reference = precompute_reference
        self.loss_chunk_size = loss_chunk_size
        self.train(self.llm.training)

    def parts(self) -> dict[str, ModelPart]:
        """Return the language model, and the reference if it is a model of its own."""
        parts = {"llm": ModelPart(self.llm, saved_as="model")}
        if self.ref is not None:
            parts["ref"] = ModelPart(self.ref, saved_as=None)
        return parts

    def backbones(self) -> list[Backbone]:
        """Return the policy's, and the reference's if it is a model of its own."""
        return [self.backbone, *([] if self.reference is None else [self.reference])]

    def reference_log_probs(self, batch: Batch) -> Tensor:
        """Return what the reference gives each label, fp32 [T], without a gradient.

        Args:
            batch: as `Backbone.log_probs` takes it.
        """
        with torch.no_grad(), self._as_reference() as backbone:
            return backbone.log_probs(batch, chunk_size=self.loss_chunk_size)

    @classmethod
    @abstractmethod
    def reference_sums(cls, settings: Mapping[str, Any]) -> Callable[[Tensor, Batch], Tensor]:
        """Return what makes `ref_log_prob`, [S], of log-probabilities, [T], and their batch.

        Args:
            settings: the sheet's `model`.
        """

    @contextmanager
    def _as_reference(self) -> Iterator[Backbone]:
        if self.reference is not None:
            yield self.reference
        elif self.start is not None:
            with self.start.active():
                yield self.backbone
        else:
            llm: Any = self.llm
            with llm.disable_adapter():
                yield self.backbone


class ReferencePass(Algorithm):
    """A reference alone, which is run over the data before a training and is then let go of.

    Args:
        llm: the reference; a PeftModel if it has an adapter.
        sums: what makes of log-probabilities, [T], and their batch what is kept, [S].
        adapter: none.
        loss_chunk_size: positions whose logits are held at once.
        fused: compute layers in fewer passes over memory, where they are of a known kind.
    """

    learns_from = "nothing"

    def __init__(
        self,
        llm: PreTrainedModel,
        *,
        sums: Callable[[Tensor, Batch], Tensor],
        adapter: None = None,
        loss_chunk_size: int = 256,
        fused: bool = True,
    ) -> None:
        super().__init__()
        self.backbone = Backbone(llm, frozen=True, fused=fused)
        self.llm = self.backbone.model
        self._sums = sums
        self._chunk_size = loss_chunk_size
        self.eval()

    def sums(self, batch: Batch) -> Tensor:
        """Return what is kept of a batch, fp32 [S]; to be called without gradients.

        Args:
            batch: on the device of the model.
        """
        return self._sums(self.backbone.log_probs(batch, chunk_size=self._chunk_size), batch)

    def forward(self, batch: Batch, *, normalizer: float) -> dict[str, Tensor]:  # noqa: D102
        return {"loss": -self.sums(batch).sum() / normalizer}

    def weight(self, batch: Batch) -> float:  # noqa: D102
        return 1.0

    def parts(self) -> dict[str, ModelPart]:  # noqa: D102
        return {"llm": ModelPart(self.llm, saved_as="model")}

    def backbones(self) -> list[Backbone]:  # noqa: D102
        return [self.backbone]


def require_reference(settings: Mapping[str, Any], *, loss_name: str, needs: bool) -> None:
    """Refuse a `model` that lacks the reference that its loss needs, or has one for nothing.

    Args:
        settings: the sheet's `model`.
        loss_name: for messages.
        needs: whether the loss has a use for a reference.

    Raises:
        ConfigError: it is so.
    """
    adapters = (settings.get(key) for key in ("adapter", "adapter_folder"))
    _require_one(
        loss_name,
        needs,
        named=settings.get("ref") is not None,
        precomputed=bool(settings.get("precompute_reference")),
        has_adapter=any(one is not None for one in adapters),
    )


def label_counts(batch: Batch) -> Tensor:
    """Return the labels of each document, fp32 [S], at least 1.

    Args:
        batch: whose documents they are; of a slice all processes of its group must call this.
    """
    return sum_by_document((batch.labels[0] != IGNORE_INDEX).float(), batch).clamp(min=1)


def _require_one(
    name: str, needs: bool, *, named: bool, precomputed: bool, has_adapter: bool
) -> None:
    if not needs:
        if named or precomputed:
            what = "`ref`" if named else "`precompute_reference`"
            raise ConfigError(f"the loss {name} has no reference: leave {what} out")
        return
    if named or precomputed or has_adapter:
        return
    raise ConfigError(
        f"the loss {name} holds the policy against a reference, and there is none: every weight is "
        "trained. Name the model that the training begins with: algorithm=dict(type=…, loss=…, "
        "ref=dict(type='CausalLM', pretrained_model_name_or_path=…)), or let it be computed before "
        "the training: algorithm=dict(type=…, loss=…, precompute_reference=True)"
    )


def _require_rows(policy: Any, ref: Any) -> None:
    """Refuse a reference that has no row for some of the policy's ids, or means others by them."""
    own, other = (model.config.get_text_config().vocab_size for model in (policy, ref))
    if own != other:
        raise ConfigError(
            f"the reference {ref.name_or_path!r} has a vocabulary of {other}, and the policy "
            f"{policy.name_or_path!r} of {own}: their log-probabilities are of other tokens. Name "
            "the model that the training begins with as ref"
        )
