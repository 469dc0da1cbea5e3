"""Preference optimisation: of two answers the better one is to become the likelier.

    pass of the reference, no gradient     log p_ref(chosen), log p_ref(rejected)
    pass of the policy                     log p(chosen), log p(rejected)     -> loss of the pair

Both answers of a pair stand in one row, documents 2i and 2i + 1 of it; both passes read the same
row. Shapes: T tokens, S documents, P pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from torch import Tensor, nn

from xtune.errors import ConfigError
from xtune.losses.preference import PairLoss, PairTerms
from xtune.losses.preference.pair import loss_at_start
from xtune.models.algorithms.backbone import Backbone
from xtune.models.algorithms.base import Algorithm, ModelPart
from xtune.parallel.slices import BatchSlice, group_numbers, sum_by_document
from xtune.registry import MODELS, PAIR_LOSSES
from xtune.structures import IGNORE_INDEX, Batch

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel

__all__ = ["PreferenceOptimization"]


@MODELS.register_module()
class PreferenceOptimization(Algorithm):
    """A language model that learns from pairs of answers: DPO, IPO, SimPO, ORPO and others.

    The reference is the policy as it began: the model without its new adapter, or the model that
    `ref` names. No dropout acts in either: their difference must be that of their weights.

    Metrics, each the mean over the pairs of a step: `loss`; `reward_chosen`, `reward_rejected`,
    `reward_margin`, what the loss makes of the answers, and `reward_accuracy`, the share of pairs
    whose better answer has the larger reward; `logp_chosen`, `logp_rejected`, log-probabilities of
    the answers in nats. That both rewards fall is normal; that `logp_chosen` halves is not.

    Args:
        llm: as `Backbone` takes it, with `adapter` and the last three.
        loss: made from PAIR_LOSSES, `dict(type='sigmoid', beta=0.1)`.
        ref: the reference, `dict(type='CausalLM', …)` in a sheet; None: `llm` without its adapter.
        adapter: a PEFT config to attach; without one all weights are trained.
        sft_weight: of the better answer's own loss, -log p per token, which is added.
        loss_chunk_size: positions whose logits are held at once.
        gradient_checkpointing: which layers are computed again in the backward pass.
        activation_offload: their inputs wait in the host's memory.
        fused: compute layers in fewer passes over memory, where they are of a known kind.

    Attributes:
        first_loss: what the loss is while the policy is its reference; None where that is unknown.

    Raises:
        ConfigError: the loss needs a reference and there is none, or has no use for `ref`.
        ModelError, AdapterError: see `Backbone`.
    """

    learns_from = "pairs"

    def __init__(
        self,
        llm: PreTrainedModel,
        *,
        loss: Annotated[PairLoss, PAIR_LOSSES],
        ref: PreTrainedModel | None = None,
        adapter: PeftConfig | None = None,
        sft_weight: float = 0.0,
        loss_chunk_size: int = 256,
        gradient_checkpointing: bool | int | Literal["auto"] = False,
        activation_offload: bool = False,
        fused: bool = True,
    ) -> None:
        super().__init__()
        _require_reference(llm, loss, ref, adapter)
        if sft_weight < 0:
            raise ConfigError(f"sft_weight is {sft_weight}; it is 0 (off) or more")
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
        self.loss = loss
        self.sft_weight = sft_weight
        self.loss_chunk_size = loss_chunk_size
        # With the better answer's own loss the sum begins where the model does
        self.first_loss = None if sft_weight else loss_at_start(loss)
        self.train(self.llm.training)

    def forward(self, batch: Batch, *, normalizer: float) -> dict[str, Tensor]:
        """Compute the loss of one micro-batch of pairs; see `Algorithm`.

        Args:
            batch: the two documents of each pair follow each other, `side` 0 the better one.
            normalizer: pairs of the whole optimizer step, over all micro-batches and processes.
        """
        pairs = self._terms(batch)
        # All who share a row have the sums of the whole, and each returns its share
        sharing = batch.group.size if isinstance(batch, BatchSlice) else 1
        share = (0.0 if batch.is_filler else 1.0) / (normalizer or 1) / sharing
        losses = self.loss(pairs)
        if self.sft_weight:
            losses = losses - self.sft_weight * pairs.chosen_mean
        chosen, rejected = (rewards.detach() for rewards in self.loss.rewards(pairs))
        measured = {
            "reward_chosen": chosen,
            "reward_rejected": rejected,
            "reward_margin": chosen - rejected,
            "reward_accuracy": (chosen > rejected).float(),
            "logp_chosen": pairs.chosen.detach(),
            "logp_rejected": pairs.rejected.detach(),
        }
        return {
            "loss": losses.sum() * share,
            **{name: values.sum() * share for name, values in measured.items()},
        }

    def weight(self, batch: Batch) -> float:
        """Return its pairs."""
        return float(group_numbers(batch)[-1] + 1)

    def parts(self) -> dict[str, ModelPart]:
        """Return the language model, and the reference if it is a model of its own."""
        parts = {"llm": ModelPart(self.llm, saved_as="model")}
        if self.ref is not None:
            parts["ref"] = ModelPart(self.ref, saved_as=None)
        return parts

    def backbones(self) -> list[Backbone]:
        """Return the policy's, and the reference's if it is a model of its own."""
        return [self.backbone, *([] if self.reference is None else [self.reference])]

    def example(self, lengths: Sequence[int], *, trained: int) -> Batch:
        """Return pairs without meaning, two documents of each length; see `Algorithm`."""
        halves = [half for length in lengths for half in (length - length // 2, length // 2)]
        batch = super().example(halves, trained=trained)
        batch.per_document["side"] = torch.tensor([0, 1] * len(lengths))
        return batch

    def train(self, mode: bool = True) -> PreferenceOptimization:
        """Switch to training, in which no dropout acts."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.eval()
        return self

    def _terms(self, batch: Batch) -> PairTerms:
        """Sums and lengths of the batch's pairs; P of them."""
        reference = self._reference_sums(batch) if self.loss.needs_reference else None
        own = self._sums(self.backbone, batch)
        lengths = sum_by_document((batch.labels[0] != IGNORE_INDEX).float(), batch).clamp(min=1)
        better = batch.per_document["side"] == 0
        worse = ~better
        if reference is None:
            return PairTerms(own[better], own[worse], lengths[better], lengths[worse])
        return PairTerms(
            own[better],
            own[worse],
            lengths[better],
            lengths[worse],
            reference[better],
            reference[worse],
        )

    @torch.no_grad()
    def _reference_sums(self, batch: Batch) -> Tensor:
        if self.reference is not None:
            return self._sums(self.reference, batch)
        llm: Any = self.llm
        with llm.disable_adapter():
            return self._sums(self.backbone, batch)

    def _sums(self, backbone: Backbone, batch: Batch) -> Tensor:
        """Log-probabilities of the batch's answers, fp32 [S]."""
        log_probs = backbone.log_probs(batch, chunk_size=self.loss_chunk_size)
        return sum_by_document(log_probs, batch)


def _require_reference(
    llm: Any, loss: PairLoss, ref: PreTrainedModel | None, adapter: PeftConfig | None
) -> None:
    name = type(loss).__name__
    if not loss.needs_reference:
        if ref is not None:
            raise ConfigError(f"the loss {name} has no reference: leave `ref` out")
        return
    if ref is not None or adapter is not None:
        return
    what = (
        "an adapter is trained further, and without it the model is not what the training begins "
        "with. Merge it (xtune export) and name the result"
        if hasattr(llm, "peft_config")
        else "every weight is trained. Name the model that the training begins with"
    )
    raise ConfigError(
        f"the loss {name} holds the policy against a reference, and there is none: {what}: "
        "algorithm=dict(type='PreferenceOptimization', loss=…, "
        "ref=dict(type='CausalLM', pretrained_model_name_or_path=…))"
    )
