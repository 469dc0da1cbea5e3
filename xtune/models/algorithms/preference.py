"""Preference optimisation: of two answers the better one is to become the likelier.

    pass of the reference, no gradient     log p_ref(chosen), log p_ref(rejected)
    pass of the policy                     log p(chosen), log p(rejected)     -> loss of the pair

All answers to a prompt stand in one row, one document each; both passes read the same row. The loss
of a step is the mean over its prompts of the mean over a prompt's pairs: with two answers to each
prompt the mean over all pairs. Shapes: T tokens, S documents, P pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from torch import Tensor

from xtune.errors import ConfigError
from xtune.losses.preference import PairLoss, PairTerms
from xtune.losses.preference.pair import expected_loss, loss_at_start
from xtune.models.algorithms.alarms import PairAlarms
from xtune.models.algorithms.base import Peers
from xtune.models.algorithms.pairs import Pairs, halves, pairs_of
from xtune.models.algorithms.with_reference import WithReference, label_counts, require_reference
from xtune.parallel.slices import (
    counted_before,
    document_numbers,
    next_tokens,
    share_of_step,
    sum_by_document,
)
from xtune.registry import MODELS, PAIR_LOSSES, build
from xtune.structures import IGNORE_INDEX, Batch

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel

__all__ = ["PreferenceOptimization"]


@MODELS.register_module()
class PreferenceOptimization(WithReference):
    """A language model that learns from pairs of answers: DPO, IPO, SimPO, ORPO and others.

    The reference is the policy as it began; see `WithReference`. A pair whose label is not certain
    (`soft_label` of the data) counts with every loss as its label is believed.

    Metrics, each the mean over the pairs of a step: `loss`; `reward_chosen`, `reward_rejected`,
    `reward_margin`, what the loss makes of the answers, and `reward_accuracy`, the share of pairs
    whose better answer has the larger reward; `logp_chosen`, `logp_rejected`, log-probabilities of
    the answers in nats; `length_chosen`, `length_rejected` in tokens; `kl`, how much likelier the
    answers are than to the reference, in nats; `nll`, the likelihood's own loss, of a token. That
    both rewards fall is normal; that `logp_chosen` halves is not.

    Args:
        llm: as `Backbone` takes it, with `adapter` and the last three.
        loss: made from PAIR_LOSSES, `dict(type='sigmoid', beta=0.1)`.
        ref: the reference, `dict(type='CausalLM', …)` in a sheet; None: `llm` as it begins.
        adapter: a PEFT config to attach; without one all weights are trained.
        precompute_reference: the reference runs once over the data before the training, and is in
            no memory while it lasts.
        sft_weight: of the better answers' likelihood, the mean of -log p over all its tokens of a
            step, which is added (RPO, MPO; alpha of CPO). None: what the loss's own paper has, 1
            for orpo and cpo, and else 0.
        nll_on: which tokens that mean is over: 'answer', or 'all' with the prompt's. None: what the
            loss's paper has, 'all' for orpo, and else 'answer'.
        ld_alpha: LD-DPO (Liu et al., 2024, arXiv 2409.06411): what the tokens of the longer answer
            count that are behind the shorter one's length, 0 to 1, in policy and reference.
        wpo: WPO (Zhou et al., 2024, arXiv 2406.11827): each pair's loss counts as much as the
            policy would give its answers itself: exp of the mean of log p - log sum_v p_v^2 over a
            token, of both answers, without a gradient.
        loss_chunk_size: positions whose logits are held at once.
        gradient_checkpointing: which layers are computed again in the backward pass.
        activation_offload: their inputs wait in the host's memory.
        fused: compute layers in fewer passes over memory, where they are of a known kind.

    Attributes:
        first_loss: what the loss is while the policy is its reference; None where that is unknown.

    Raises:
        ConfigError: the loss needs a reference and there is none, or has no use for one; an option
            that would change nothing.
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
        precompute_reference: bool = False,
        sft_weight: float | None = None,
        nll_on: Literal["answer", "all"] | None = None,
        ld_alpha: float | None = None,
        wpo: bool = False,
        loss_chunk_size: int = 256,
        gradient_checkpointing: bool | int | Literal["auto"] = False,
        activation_offload: bool = False,
        fused: bool = True,
    ) -> None:
        sft_weight = loss.sft_weight if sft_weight is None else sft_weight
        _require_meaning(loss, sft_weight, nll_on, ld_alpha)
        super().__init__(
            llm,
            loss_name=type(loss).__name__,
            needs_reference=loss.needs_reference,
            ref=ref,
            adapter=adapter,
            precompute_reference=precompute_reference,
            loss_chunk_size=loss_chunk_size,
            gradient_checkpointing=gradient_checkpointing,
            activation_offload=activation_offload,
            fused=fused,
        )
        self.loss = loss
        self.sft_weight = sft_weight
        self.with_prompt = (nll_on or loss.nll_on) == "all"
        self.ld_alpha = ld_alpha
        self.wpo = wpo
        self.alarms = PairAlarms()
        # With a likelihood or a weight of the policy the sum begins where the model does
        self.first_loss = None if sft_weight or wpo else loss_at_start(loss)

    def forward(self, batch: Batch, *, normalizer: float) -> dict[str, Tensor]:
        """Compute the loss of one micro-batch of pairs; see `Algorithm`.

        Args:
            batch: the answers to a prompt follow each other, `side` 0 the first; `rank` and
                `soft_label` of them where the data have such.
            normalizer: prompts of the whole optimizer step, over all micro-batches and processes.
        """
        pairs = pairs_of(batch)
        ref_chosen = ref_rejected = None
        if self.needs_reference:
            ref_chosen, ref_rejected = self._reference_of(batch, pairs)
        labels, squares = batch.labels[0], None
        if self.sft_weight and self.with_prompt:
            of_best = _best(pairs, batch)[document_numbers(batch)]
            labels = torch.where(of_best, next_tokens(batch), labels)
        if self.wpo:
            squares = torch.zeros(batch.tokens, device=batch.input_ids.device)
        asked = self.backbone.log_probs(
            batch, chunk_size=self.loss_chunk_size, labels=labels, squares=squares
        )
        own = asked
        if labels is not batch.labels[0]:
            own = asked.masked_fill(batch.labels[0] == IGNORE_INDEX, 0.0)
        lengths = label_counts(batch)
        terms = PairTerms(
            *_pair_sums(own, batch, pairs, self.ld_alpha),
            lengths[pairs.better],
            lengths[pairs.worse],
            ref_chosen,
            ref_rejected,
            _soft_label(batch, pairs),
        )
        losses = expected_loss(self.loss, terms)
        if squares is not None:
            losses = losses * _of_policy(own.detach() - squares, batch, pairs, lengths)
        share = share_of_step(batch, normalizer)
        outputs = {"loss": (losses * pairs.share).sum() * share}
        if self.sft_weight:
            step = self.surveyed or self._counted([batch])
            of_best = sum_by_document(asked, batch)[_best(pairs, batch)[:-1]]
            nll = -of_best.sum() * (step["prompts"] / (step["tokens"] or 1)) * share
            outputs["loss"] = outputs["loss"] + self.sft_weight * nll
            outputs["nll"] = nll.detach()
        measured = self._measured(terms)
        return outputs | {
            name: (values * pairs.share).sum() * share for name, values in measured.items()
        }

    def weight(self, batch: Batch) -> float:
        """Return its prompts: those with a pair."""
        return pairs_of(batch).prompts

    def survey(self, batches: Sequence[Batch], peers: Peers) -> dict[str, float]:
        """Count the prompts of a step, and the tokens of its likelihood, if that is added.

        Args: as `Algorithm.survey`.
        """
        return self._counted(batches) if self.sft_weight else {}

    def example(self, lengths: Sequence[int], *, trained: int) -> Batch:
        """Return pairs without meaning, two documents of each length; see `Algorithm`.

        Args: as `Algorithm.example`.
        """
        batch = super().example(halves(lengths), trained=trained)
        batch.per_document["side"] = torch.tensor([0, 1] * len(lengths))
        if self.precompute_reference:
            batch.per_document["ref_log_prob"] = torch.zeros(2 * len(lengths))
        return batch

    @classmethod
    def require_settings(cls, settings: Mapping[str, Any]) -> None:  # noqa: D102
        loss: PairLoss = build(PAIR_LOSSES, settings["loss"])
        own_weight = settings.get("sft_weight")
        _require_meaning(
            loss,
            loss.sft_weight if own_weight is None else own_weight,
            settings.get("nll_on"),
            settings.get("ld_alpha"),
        )
        require_reference(settings, loss_name=type(loss).__name__, needs=loss.needs_reference)

    @classmethod
    def reference_sums(cls, settings: Mapping[str, Any]) -> Callable[[Tensor, Batch], Tensor]:
        """Return what makes `ref_log_prob` of the reference's log-probabilities; see the base.

        Args: as `WithReference.reference_sums`.
        """
        return partial(_document_sums, ld_alpha=settings.get("ld_alpha"))

    def _reference_of(self, batch: Batch, pairs: Pairs) -> tuple[Tensor, Tensor]:
        if self.precompute_reference:
            known = batch.per_document["ref_log_prob"]
            return known[pairs.better], known[pairs.worse]
        return _pair_sums(self.reference_log_probs(batch), batch, pairs, self.ld_alpha)

    def _counted(self, batches: Sequence[Batch]) -> dict[str, float]:
        prompts = tokens = 0.0
        for batch in batches:
            pairs = pairs_of(batch)
            if self.with_prompt:
                counts = (batch.cu_seqlens.diff() - 1)[: len(batch.per_document["side"])].float()
            else:
                counts = sum_by_document((batch.labels[0] != IGNORE_INDEX).float(), batch)
            prompts += pairs.prompts
            tokens += float(counts[_best(pairs, batch)[:-1]].sum())
        return {"prompts": prompts, "tokens": tokens}

    def _measured(self, terms: PairTerms) -> dict[str, Tensor]:
        chosen, rejected = (rewards.detach() for rewards in self.loss.rewards(terms))
        measured = {
            "reward_chosen": chosen,
            "reward_rejected": rejected,
            "reward_margin": chosen - rejected,
            "reward_accuracy": (chosen > rejected).float(),
            "logp_chosen": terms.chosen.detach(),
            "logp_rejected": terms.rejected.detach(),
            "length_chosen": terms.chosen_length,
            "length_rejected": terms.rejected_length,
        }
        if self.needs_reference:
            measured["kl"] = (terms.gain + terms.rejected_gain).detach() / 2
        return measured


def _require_meaning(
    loss: PairLoss, sft_weight: float, nll_on: str | None, ld_alpha: float | None
) -> None:
    if sft_weight < 0:
        raise ConfigError(f"sft_weight is {sft_weight}; it is 0 (off) or more")
    if nll_on not in (None, "answer", "all"):
        raise ConfigError(f"nll_on is {nll_on!r}; allowed: 'answer', 'all'")
    if nll_on is not None and not sft_weight:
        raise ConfigError(
            f"nll_on={nll_on!r} says which tokens a likelihood is of, and none is added: give "
            "sft_weight, or leave nll_on out"
        )
    if ld_alpha is None:
        return
    if not 0 <= ld_alpha <= 1:
        raise ConfigError(f"ld_alpha is {ld_alpha}; it is from 0 to 1, where it is plain DPO")
    if loss.is_per_token:
        raise ConfigError(
            f"ld_alpha makes sums of log-probabilities shorter, and {type(loss).__name__} divides "
            "them by the answers' lengths already: leave ld_alpha out, or take sigmoid"
        )


def _pair_sums(
    log_probs: Tensor, batch: Batch, pairs: Pairs, ld_alpha: float | None
) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the pairs' better and worse answers, fp32 [P] each."""
    sums = sum_by_document(log_probs, batch)
    better, worse = sums[pairs.better], sums[pairs.worse]
    if ld_alpha is None:
        return better, worse
    head, other = _heads(log_probs, batch, pairs).chunk(2)
    return head + ld_alpha * (better - head), other + ld_alpha * (worse - other)


def _document_sums(log_probs: Tensor, batch: Batch, *, ld_alpha: float | None) -> Tensor:
    """Log-probabilities of the documents as their pairs count them, fp32 [S]."""
    sums = sum_by_document(log_probs, batch)
    if ld_alpha is None:
        return sums
    pairs = pairs_of(batch)
    both = torch.cat([pairs.better, pairs.worse])
    if len(both) and int(both.bincount().max()) > 1:
        raise ConfigError(
            "ld_alpha with precompute_reference: of more than two answers to a prompt an answer "
            "counts otherwise in each of its pairs. Leave one of the two out"
        )
    return sums.index_put((both,), torch.cat(_pair_sums(log_probs, batch, pairs, ld_alpha)))


def _best(pairs: Pairs, batch: Batch) -> Tensor:
    """Which documents are the best answers to prompts with pairs, bool [S + 1]; the last is none.

    Several answers may be equally good.
    """
    best = pairs.better.new_zeros(len(batch.per_document["side"]) + 1, dtype=torch.bool)
    best[pairs.better] = True
    best[pairs.worse] = False
    return best


def _soft_label(batch: Batch, pairs: Pairs) -> Tensor | None:
    """How far the labels of the pairs are believed, [P]; None: all are certain."""
    labels = batch.per_document.get("soft_label")
    return None if labels is None else labels[pairs.better]


def _of_policy(likelier: Tensor, batch: Batch, pairs: Pairs, lengths: Tensor) -> Tensor:
    """WPO's weights of the pairs, [P], of log p - log sum_v p_v^2, [T]."""
    likelier = likelier.masked_fill(batch.labels[0] == IGNORE_INDEX, 0.0)
    means = sum_by_document(likelier, batch) / lengths
    return (means[pairs.better] + means[pairs.worse]).exp()


def _heads(log_probs: Tensor, batch: Batch, pairs: Pairs) -> Tensor:
    """Log-probabilities of both answers of each pair up to the shorter one's length, [2 P].

    An answer of several pairs has a head of each: they are summed one after the other.
    """
    trained, lengths = batch.labels[0] != IGNORE_INDEX, label_counts(batch)
    before, numbers = counted_before(trained, batch), document_numbers(batch)
    documents = torch.cat([pairs.better, pairs.worse])
    shorter = torch.minimum(lengths[pairs.better], lengths[pairs.worse]).repeat(2)
    again = (documents[:, None] == documents[None, :]).tril(-1).sum(1)
    sums = []
    for turn in range(int(again.max()) + 1 if len(again) else 1):
        limits = lengths.new_zeros(len(lengths) + 1)  # the last is padding's
        limits[documents[again == turn]] = shorter[again == turn]
        inside = trained & (before < limits[numbers])
        sums.append(sum_by_document(log_probs.masked_fill(~inside, 0.0), batch))
    return torch.stack(sums)[again, documents]
