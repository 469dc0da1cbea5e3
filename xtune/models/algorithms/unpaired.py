"""Preference optimisation of answers that are judged one by one: KTO and APO-zero.

    once a step    z, how far the policy is from its reference       no gradient; see mismatched.py
    a micro-batch  log p_ref(answer), no gradient; log p(answer)     -> loss of the answer

The loss of a step is the mean over all its answers, whatever the split. Shapes: S documents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from torch import Tensor

from xtune.errors import ConfigError
from xtune.losses.preference import UnpairedLoss, UnpairedTerms
from xtune.models.algorithms.alarms import UnpairedAlarms
from xtune.models.algorithms.base import Peers
from xtune.models.algorithms.mismatched import mismatched_batches
from xtune.models.algorithms.with_reference import WithReference, label_counts, require_reference
from xtune.parallel.slices import share_of_step, slice_of, sum_by_document
from xtune.registry import MODELS, UNPAIRED_LOSSES, build
from xtune.structures import Batch

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel

__all__ = ["UnpairedPreferenceOptimization"]


@MODELS.register_module()
class UnpairedPreferenceOptimization(WithReference):
    """A language model that learns from answers that are good or bad, each for itself.

    The reference is the policy as it began; see `WithReference`.

    Metrics of a step: `loss`; `reward_desirable`, `reward_undesirable`, the mean of beta (log p -
    log p_ref) over the good and over the bad answers, 0 where there are none, and `reward_margin`,
    their difference, 0 where one is lacking; `desirable_share`; `logp`, `length`, `kl`, means over
    all answers; `z`, KTO's.

    Args:
        llm: as `Backbone` takes it, with `adapter` and the last three.
        loss: made from UNPAIRED_LOSSES, `dict(type='kto', beta=0.1)`.
        ref: the reference, `dict(type='CausalLM', …)` in a sheet; None: `llm` as it begins.
        adapter: a PEFT config to attach; without one all weights are trained.
        precompute_reference: the reference runs once over the data before the training, and is in
            no memory while it lasts; not for KTO, which asks it in each step.
        loss_chunk_size: positions whose logits are held at once.
        gradient_checkpointing: which layers are computed again in the backward pass.
        activation_offload: their inputs wait in the host's memory.
        fused: compute layers in fewer passes over memory, where they are of a known kind.

    Attributes:
        first_loss: what the loss is while the policy is its reference; None where that is unknown.

    Raises:
        ConfigError: there is no reference.
        ModelError, AdapterError: see `Backbone`.
    """

    learns_from = "unpaired"

    def __init__(
        self,
        llm: PreTrainedModel,
        *,
        loss: Annotated[UnpairedLoss, UNPAIRED_LOSSES],
        ref: PreTrainedModel | None = None,
        adapter: PeftConfig | None = None,
        precompute_reference: bool = False,
        loss_chunk_size: int = 256,
        gradient_checkpointing: bool | int | Literal["auto"] = False,
        activation_offload: bool = False,
        fused: bool = True,
    ) -> None:
        name = type(loss).__name__
        _require_known(loss, precompute_reference)
        super().__init__(
            llm,
            loss_name=name,
            needs_reference=True,
            ref=ref,
            adapter=adapter,
            precompute_reference=precompute_reference,
            loss_chunk_size=loss_chunk_size,
            gradient_checkpointing=gradient_checkpointing,
            activation_offload=activation_offload,
            fused=fused,
        )
        self.loss = loss
        self.first_loss = loss.at_start
        self.alarms = UnpairedAlarms(*loss.weights)

    def forward(self, batch: Batch, *, normalizer: float) -> dict[str, Tensor]:
        """Compute the loss of one micro-batch of answers; see `Algorithm`.

        Args:
            batch: `desirable` 1 or 0 of each document.
            normalizer: answers of the whole optimizer step, over all micro-batches and processes.
        """
        reference = self._reference_of(batch)
        own = sum_by_document(
            self.backbone.log_probs(batch, chunk_size=self.loss_chunk_size), batch
        )
        good = batch.per_document["desirable"] == 1
        step = self.surveyed or _counted([batch])
        z = max(0.0, step.get("divergence", 0.0) / (step.get("mismatched") or 1))
        gain = own - reference
        losses = self.loss(UnpairedTerms(gain, good, z))
        share = share_of_step(batch, normalizer)
        # A mean over one kind is as much more of a step as there are fewer of it
        answers, gain = step["desirable"] + step["undesirable"], gain.detach()
        of_good, of_bad = (
            self.loss.beta * gain[kind].sum() * (answers / (step[name] or 1)) * share
            for kind, name in ((good, "desirable"), (~good, "undesirable"))
        )
        both = bool(step["desirable"] and step["undesirable"])
        outputs = {
            "loss": losses.sum() * share,
            "reward_desirable": of_good,
            "reward_undesirable": of_bad,
            "reward_margin": (of_good - of_bad) * float(both),
            "desirable_share": good.sum().float() * share,
            "logp": own.detach().sum() * share,
            "length": label_counts(batch).sum() * share,
            "kl": gain.sum() * share,
        }
        if self.loss.needs_divergence:
            outputs["z"] = z * len(gain) * share * torch.ones_like(outputs["loss"].detach())
        return outputs

    def weight(self, batch: Batch) -> float:
        """Return its answers."""
        return float(len(batch.cu_seqlens) - 1)

    def survey(self, batches: Sequence[Batch], peers: Peers) -> dict[str, float]:
        """Count both kinds, and sum up how much likelier answers to other prompts have become.

        Args: as `Algorithm.survey`.
        """
        counted = _counted(batches)
        if not self.loss.needs_divergence:
            return counted
        own = mismatched_batches(batches, peers)

        @torch.no_grad()
        def gains() -> tuple[float, int]:
            total, count = 0.0, 0
            for batch in own:
                whole = slice_of(batch, peers.sequence).to(peers.device)
                reference = sum_by_document(self.reference_log_probs(whole), whole)
                policy = self.backbone.log_probs(whole, chunk_size=self.loss_chunk_size)
                apart = sum_by_document(policy, whole) - reference
                if not batch.is_filler and peers.sequence.rank == 0:
                    total, count = total + float(apart.double().sum()), count + len(apart)
            return total, count

        # Without dropout in either mode; all processes run as many batches
        total, count = peers.apart(gains)
        return counted | {"divergence": total, "mismatched": float(count)}

    def example(self, lengths: Sequence[int], *, trained: int) -> Batch:
        """Return answers without meaning, good and bad ones by turns; see `Algorithm`.

        Args: as `Algorithm.example`.
        """
        batch = super().example(lengths, trained=trained)
        batch.per_document["desirable"] = torch.arange(len(lengths)) % 2
        if self.precompute_reference:
            batch.per_document["ref_log_prob"] = torch.zeros(len(lengths))
        return batch

    @classmethod
    def require_settings(cls, settings: Mapping[str, Any]) -> None:  # noqa: D102
        loss: UnpairedLoss = build(UNPAIRED_LOSSES, settings["loss"])
        _require_known(loss, bool(settings.get("precompute_reference")))
        require_reference(settings, loss_name=type(loss).__name__, needs=True)

    @classmethod
    def reference_sums(cls, settings: Mapping[str, Any]) -> Callable[[Tensor, Batch], Tensor]:
        """Return what makes `ref_log_prob` of the reference's log-probabilities; see the base.

        Args: as `WithReference.reference_sums`.
        """
        return sum_by_document

    def _reference_of(self, batch: Batch) -> Tensor:
        if self.precompute_reference:
            known: Tensor = batch.per_document["ref_log_prob"]
            return known
        return sum_by_document(self.reference_log_probs(batch), batch)


def _require_known(loss: UnpairedLoss, precompute_reference: bool) -> None:
    if precompute_reference and loss.needs_divergence:
        raise ConfigError(
            f"precompute_reference with {type(loss).__name__}: it asks the reference for answers "
            "to other prompts in each step, which nobody knows before. Leave it out, or take "
            "loss=dict(type='apo_zero_unpaired')"
        )


def _counted(batches: Sequence[Batch]) -> dict[str, float]:
    kinds = [batch.per_document["desirable"] == 1 for batch in batches]
    good = sum(int(kind.sum()) for kind in kinds)
    return {
        "desirable": float(good),
        "undesirable": float(sum(len(kind) for kind in kinds) - good),
    }
