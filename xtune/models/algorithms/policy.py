"""Policy optimisation of answers that the model has sampled itself: GRPO and its kin.

    batch   answers with log p_old and the advantage of each token      (engine/rollout makes it)
    loss    of their ratio and advantage, plus kl_in_loss times the distance from the reference

The loss of a step is one mean over all its tokens, or all its answers, whatever the split. Shapes:
T positions of a row, S documents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from torch import Tensor

from xtune.errors import ConfigError
from xtune.losses.log_probs import check_temperature
from xtune.losses.policy import PolicyLoss, PolicyTerms
from xtune.losses.policy.kl import k1, k3
from xtune.models.algorithms.base import Peers
from xtune.models.algorithms.policy_alarms import PolicyAlarms
from xtune.models.algorithms.with_reference import WithReference, label_counts, require_reference
from xtune.parallel.slices import document_numbers, share_of_step, sum_by_document
from xtune.registry import MODELS, POLICY_LOSSES, build
from xtune.structures import IGNORE_INDEX, Batch
from xtune.vectors import Vector, declare

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel

__all__ = ["ADVANTAGE", "OLD_LOG_PROB", "REFERENCE", "SAMPLER_LOG_PROB", "PolicyOptimization"]

# A token of a sampled answer under the policy that sampled it, as training computes it
OLD_LOG_PROB = declare(Vector("old_log_prob", "label"))
# The same as the sampler had it, whose kernels and caches round otherwise
SAMPLER_LOG_PROB = declare(Vector("sampler_log_prob", "label"))
REFERENCE = declare(Vector("reference_log_prob", "label"))
ADVANTAGE = declare(Vector("advantage", "label"))


@MODELS.register_module()
class PolicyOptimization(WithReference):
    """A language model that learns from answers of its own, each token by its advantage.

    Without a distance from the reference there is none; with one it is the policy as it began, see
    `WithReference`.

    Metrics of a step, means over its tokens: `loss`; `ratio` of the token's probabilities now and
    when it was sampled, `ratio_error`, |1 - ratio|, which is 0 in the first update of a rollout;
    `clip_low`, `clip_high`, shares of tokens that the clip leaves without a gradient; `old_kl`,
    half of the square of log ratio; `entropy`, of the policy, estimated by -log p; `kl`, log p -
    log p_ref, where there is a reference; `sampler_difference`, |log p - log p_sampler|.

    Args:
        llm: as `Backbone` takes it, with `adapter` and the last three.
        loss: made from POLICY_LOSSES, `dict(type='dapo')`.
        kl_in_loss: weight of the distance from the reference, k3 times the ratio; 0: none.
        kl_in_reward: what the rewards lose by it, summed over an answer; 0: nothing.
        temperature: at which answers are sampled, and at which all log-probabilities are.
        ref: the reference, `dict(type='CausalLM', …)` in a sheet; None: `llm` as it begins.
        adapter: a PEFT config to attach; without one all weights are trained.
        loss_chunk_size: positions whose logits are held at once.
        gradient_checkpointing: which layers are computed again in the backward pass.
        activation_offload: their inputs wait in the host's memory.
        fused: compute layers in fewer passes over memory, where they are of a known kind.

    Raises:
        ConfigError: a reference is needed and there is none, or one is given for nothing; a
            temperature that is not above 0.
        ModelError, AdapterError: see `Backbone`.
    """

    learns_from = "prompts"

    def __init__(
        self,
        llm: PreTrainedModel,
        *,
        loss: Annotated[PolicyLoss, POLICY_LOSSES],
        kl_in_loss: float = 0.0,
        kl_in_reward: float = 0.0,
        temperature: float = 1.0,
        ref: PreTrainedModel | None = None,
        adapter: PeftConfig | None = None,
        loss_chunk_size: int = 256,
        gradient_checkpointing: bool | int | Literal["auto"] = False,
        activation_offload: bool = False,
        fused: bool = True,
    ) -> None:
        _require_weights(kl_in_loss, kl_in_reward, temperature)
        super().__init__(
            llm,
            loss_name=type(loss).__name__,
            needs_reference=bool(kl_in_loss or kl_in_reward),
            ref=ref,
            adapter=adapter,
            precompute_reference=False,
            loss_chunk_size=loss_chunk_size,
            gradient_checkpointing=gradient_checkpointing,
            activation_offload=activation_offload,
            fused=fused,
        )
        self.loss = loss
        self.kl_in_loss = kl_in_loss
        self.kl_in_reward = kl_in_reward
        self.temperature = temperature
        self.alarms = PolicyAlarms()

    def log_probs(self, batch: Batch) -> Tensor:
        """Return the log-probability of each label under the policy, fp32 [T].

        Args:
            batch: as `Backbone.log_probs` takes it.
        """
        return self.backbone.log_probs(
            batch, chunk_size=self.loss_chunk_size, temperature=self.temperature
        )

    def reference_log_probs(self, batch: Batch) -> Tensor:
        """Return what the reference gives each label at this temperature, fp32 [T], no gradient.

        Args:
            batch: as `Backbone.log_probs` takes it.
        """
        with torch.no_grad(), self._as_reference() as backbone:
            return backbone.log_probs(
                batch, chunk_size=self.loss_chunk_size, temperature=self.temperature
            )

    def forward(self, batch: Batch, *, normalizer: float) -> dict[str, Tensor]:
        """Compute the loss of one micro-batch of answers; see `Algorithm`.

        Args:
            batch: `advantage` of each label; `old_log_prob`, without which this is the first
                update and the policy the one that sampled; `reference_log_prob` for `kl_in_loss`.
            normalizer: tokens or answers of the whole optimizer step, see `weight`.
        """
        own = self.log_probs(batch)
        old = batch.per_token.get("old_log_prob")
        terms = PolicyTerms(
            own,
            own.detach() if old is None else old[0],
            batch.per_token["advantage"][0],
            batch.labels[0] != IGNORE_INDEX,
            _answer_mean(batch),
        )
        found = self.loss(terms)
        losses = found.losses
        reference = batch.per_token.get("reference_log_prob")
        if self.kl_in_loss:
            assert reference is not None
            losses = losses + self.kl_in_loss * k3(own, reference[0]) * terms.ratio
        share = share_of_step(batch, normalizer)
        outputs = {"loss": self._reduced(losses, batch, terms) * share}
        with torch.no_grad():
            measured = self._measured(terms, batch)
            measured |= {"clip_low": found.too_low.float(), "clip_high": found.too_high.float()}
            # The step is divided by what `weight` counts, and these are means over tokens
            step = self.surveyed or self._counted([batch])
            scale = share * step["weight"] / (step["tokens"] or 1)
            for name, values in measured.items():
                sums = sum_by_document(values.masked_fill(~terms.trained, 0.0), batch)
                outputs[name] = sums.sum() * scale
        return outputs

    def weight(self, batch: Batch) -> float:
        """Return its trained tokens, or its answers, as the loss's mean is over.

        Args: as `Algorithm.weight`.
        """
        return self._counted([batch])["weight"]

    def survey(self, batches: Sequence[Batch], peers: Peers) -> dict[str, float]:
        """Count tokens and answers of a step: one of them the metrics are means over.

        Args: as `Algorithm.survey`.
        """
        return self._counted(batches)

    def example(self, lengths: Sequence[int], *, trained: int) -> Batch:
        """Return answers without meaning; see `Algorithm`.

        Args: as `Algorithm.example`.
        """
        batch = super().example(lengths, trained=trained)
        names = ["old_log_prob", "advantage"] + ["reference_log_prob"] * self.needs_reference
        for name in names:
            batch.per_token[name] = torch.full(batch.labels.shape, -1.0)
        return batch

    @classmethod
    def require_settings(cls, settings: Mapping[str, Any]) -> None:  # noqa: D102
        loss: PolicyLoss = build(POLICY_LOSSES, settings["loss"])
        in_loss, in_reward = (settings.get(f"kl_in_{one}") or 0.0 for one in ("loss", "reward"))
        _require_weights(in_loss, in_reward, settings.get("temperature", 1.0))
        needs = bool(in_loss or in_reward)
        require_reference(settings, loss_name=type(loss).__name__, needs=needs)

    @classmethod
    def reference_sums(cls, settings: Mapping[str, Any]) -> Callable[[Tensor, Batch], Tensor]:
        """Return what makes `ref_log_prob` of the reference's log-probabilities; see the base.

        Args: as `WithReference.reference_sums`.
        """
        return sum_by_document

    def _reduced(self, losses: Tensor, batch: Batch, terms: PolicyTerms) -> Tensor:
        sums = sum_by_document(losses.masked_fill(~terms.trained, 0.0), batch)
        if self.loss.mean == "tokens":
            return sums.sum()
        if self.loss.mean == "answers":
            return (sums / label_counts(batch)).sum()
        return (sums / self.loss.length).sum()

    def _measured(self, terms: PolicyTerms, batch: Batch) -> dict[str, Tensor]:
        ratio, apart = terms.ratio, terms.log_prob - terms.old_log_prob
        measured = {
            "ratio": ratio,
            "ratio_error": (1 - ratio).abs(),
            "old_kl": apart.square() / 2,
            "entropy": -terms.log_prob,
        }
        if (reference := batch.per_token.get("reference_log_prob")) is not None:
            measured["kl"] = k1(terms.log_prob, reference[0])
        if (sampler := batch.per_token.get("sampler_log_prob")) is not None:
            measured["sampler_difference"] = (terms.log_prob - sampler[0]).abs()
        return measured

    def _counted(self, batches: Sequence[Batch]) -> dict[str, float]:
        tokens = answers = 0.0
        for batch in batches:
            counts = sum_by_document((batch.labels[0] != IGNORE_INDEX).float(), batch)
            tokens += float(counts.sum())
            answers += float((counts > 0).sum())
        return {"tokens": tokens, "weight": tokens if self.loss.mean == "tokens" else answers}


def _answer_mean(batch: Batch) -> Callable[[Tensor], Tensor]:
    def mean(values: Tensor) -> Tensor:
        values = values.masked_fill(batch.labels[0] == IGNORE_INDEX, 0.0)
        means = sum_by_document(values, batch) / label_counts(batch)
        # What comes after the last document is padding, which has a number of its own
        return torch.cat([means, means.new_zeros(1)])[document_numbers(batch)]

    return mean


def _require_weights(kl_in_loss: float, kl_in_reward: float, temperature: float) -> None:
    for name, value in (("kl_in_loss", kl_in_loss), ("kl_in_reward", kl_in_reward)):
        if value < 0:
            raise ConfigError(f"{name} is {value}; it is 0 (off) or more")
    check_temperature(temperature)
