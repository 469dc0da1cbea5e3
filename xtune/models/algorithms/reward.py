"""`RewardModel`: of two answers the better one is to get the higher score, or the lower cost.

    pass of the model        a score at every token          [T]
    reading                  a score of every document       [S]
    pairs of each prompt     better and worse                [P]      -> loss of the pair

All answers to a prompt stand in one row, and all C(K, 2) pairs of them are learnt from at once:
taken pair by pair the same answer would be seen K - 1 times.

Shapes: T tokens, S documents, P pairs.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from torch import Tensor

from xtune.errors import ConfigError
from xtune.losses.reward import AlignedTokens, RewardLoss, RewardTerms, penalties
from xtune.models.algorithms.alarms import RewardAlarms
from xtune.models.algorithms.backbone import Backbone
from xtune.models.algorithms.base import Algorithm, ModelPart
from xtune.models.algorithms.pairs import Pairs, halves, pairs_of
from xtune.models.scores import READINGS, Reading, Scores, answer_tokens, read, scores_of
from xtune.models.sequence_classifier import is_classifier
from xtune.parallel.slices import group_numbers, share_of_step, sum_by_document
from xtune.registry import MODELS, REWARD_LOSSES, build
from xtune.structures import IGNORE_INDEX, Batch

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel

__all__ = ["RewardModel"]

# Sums from which `summary` makes what is no sum
_MOMENTS = ("score_square", "length_mean", "length_square", "score_length")


@MODELS.register_module()
class RewardModel(Algorithm):
    """A model with a head of one number, which learns from pairs or ranked answers.

    Metrics, of a step's prompts: `loss`; `reward_chosen`, `reward_rejected`, scores of the better
    and the worse answers, `reward_margin`, how far the better one is ahead, and `reward_accuracy`,
    the share of pairs in which it is; `score_mean`, `score_std` of all answers, and
    `length_correlation` of their scores with their lengths: near 1 or -1 length is what is scored.

    Args:
        llm: with such a head, `dict(type='SequenceClassifier', …)` in a sheet.
        loss: made from REWARD_LOSSES, `dict(type='bradley_terry')`. A cost model is what
            `safe_rlhf_cost` makes.
        reading: which score is a text's: 'end', that of its last token, or 'token_mean', the mean
            over the answer's tokens. It is noted with what is saved: one is not to be read as the
            other.
        centre: factor of (r_w + r_l)^2, which keeps scores around 0; 0.01 is usual.
        l2: factor of (r_w^2 + r_l^2) / 2; 0.001 is Open-Assistant's.
        log_barrier: factor of what keeps scores between -5 and 5; 0.02 is InternLM2's.
        adapter: a PEFT config to attach, which trains the head too; without one all weights are.
        gradient_checkpointing: which layers are computed again in the backward pass.
        activation_offload: their inputs wait in the host's memory.
        fused: compute layers in fewer passes over memory, where they are of a known kind.

    Raises:
        ConfigError: `llm` has no such head; options that contradict each other.
        ModelError, AdapterError: see `Backbone`.
    """

    learns_from = "pairs"
    trains_scores = True
    has_dropout = False

    def __init__(
        self,
        llm: PreTrainedModel,
        *,
        loss: Annotated[RewardLoss, REWARD_LOSSES],
        reading: Reading = "end",
        centre: float = 0.0,
        l2: float = 0.0,
        log_barrier: float = 0.0,
        adapter: PeftConfig | None = None,
        gradient_checkpointing: bool | int | Literal["auto"] = False,
        activation_offload: bool = False,
        fused: bool = True,
    ) -> None:
        super().__init__()
        self._factors = {"centre": centre, "l2": l2, "log_barrier": log_barrier}
        _require_together(loss, reading, self._factors)
        self.backbone = Backbone(
            llm,
            adapter=None if adapter is None else with_head(llm, adapter),
            gradient_checkpointing=gradient_checkpointing,
            activation_offload=activation_offload,
            fused=fused,
        )
        self.llm = self.backbone.model
        self.loss = loss
        self.reading: Reading = reading
        self.alarms = RewardAlarms()
        self.train(self.llm.training)

    def forward(self, batch: Batch, *, normalizer: float) -> dict[str, Tensor]:
        """Compute the loss of one micro-batch of prompts with their answers; see `Algorithm`.

        Args:
            batch: the documents of each prompt follow each other, with `side`, and `rank` if they
                are ranked.
            normalizer: prompts with a pair, over all micro-batches and processes of the step.
        """
        scores = scores_of(self.backbone, batch)
        values = read(scores, batch, self.reading)
        pairs = pairs_of(batch)
        losses = self._losses(scores, values, pairs, batch)
        each = share_of_step(batch, normalizer)
        share = pairs.share * each
        better, worse = values.detach()[pairs.better], values.detach()[pairs.worse]
        ahead = worse - better if self.loss.is_cost else better - worse
        measured = {
            "reward_chosen": better,
            "reward_rejected": worse,
            "reward_margin": ahead,
            "reward_accuracy": (ahead > 0).float(),
        }
        return {
            "loss": (losses * share).sum(),
            **{name: (numbers * share).sum() for name, numbers in measured.items()},
            **_moments(values.detach(), pairs, batch, each),
        }

    def weight(self, batch: Batch) -> float:
        """Return its prompts, those without a pair left out."""
        return pairs_of(batch).prompts

    @classmethod
    def require_settings(cls, settings: Mapping[str, Any]) -> None:  # noqa: D102
        factors = {name: settings.get(name, 0.0) for name in ("centre", "l2", "log_barrier")}
        loss: RewardLoss = build(REWARD_LOSSES, settings["loss"])
        _require_together(loss, settings.get("reading", "end"), factors)

    @classmethod
    def asks_of_data(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:  # noqa: D102
        loss: RewardLoss = build(REWARD_LOSSES, settings["loss"])
        return loss.vectors

    def parts(self) -> dict[str, ModelPart]:
        """Return the model with its head."""
        return {"llm": ModelPart(self.llm, saved_as="model")}

    def backbones(self) -> list[Backbone]:
        """Return the model's."""
        return [self.backbone]

    def summary(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Return the means, and what is made of the sums of squares; see `Algorithm`.

        Args: as `Algorithm.summary`.
        """
        found = {name: value for name, value in sums.items() if name not in _MOMENTS}
        mean, length = sums["score_mean"], sums["length_mean"]
        variance = max(0.0, sums["score_square"] - mean**2)
        spread = math.sqrt(variance * max(0.0, sums["length_square"] - length**2))
        together = sums["score_length"] - mean * length
        found["score_std"] = math.sqrt(variance)
        found["length_correlation"] = max(-1.0, min(1.0, together / spread)) if spread else 0.0
        return found

    def notes(self) -> dict[str, Any]:
        """Return how the scores are to be read; `xtune score --centre` adds the shift."""
        kind = "cost" if self.loss.is_cost else "reward"
        return {"reward": {"kind": kind, "reading": self.reading, "shift": 0.0}}

    def example(self, lengths: Sequence[int], *, trained: int) -> Batch:
        """Return pairs without meaning, two documents of each length; see `Algorithm`.

        Args: as `Algorithm.example`.
        """
        batch = super().example(halves(lengths), trained=trained)
        batch.per_document["side"] = torch.tensor([0, 1] * len(lengths))
        for name in self.loss.vectors:
            batch.per_document[name] = torch.tensor([1.0, 0.0] * len(lengths))
        return batch

    def _losses(self, scores: Scores, values: Tensor, pairs: Pairs, batch: Batch) -> Tensor:
        """The loss of each pair with its penalties, [P]."""
        better, worse = values[pairs.better], values[pairs.worse]
        given = {name: batch.per_document[name] for name in self.loss.vectors}  # asks_of_data
        worth, safe = given.get("score"), given.get("safe")
        soft = batch.per_document.get("soft_label")
        margin = None if worth is None else worth[pairs.better] - worth[pairs.worse]
        losses = self.loss(
            RewardTerms(
                better,
                worse,
                margin=None if margin is None else margin.clamp(min=0),
                soft_label=None if soft is None else soft[pairs.better],
                better_safe=None if safe is None else safe[pairs.better],
                worse_safe=None if safe is None else safe[pairs.worse],
                tokens=_aligned(scores, pairs, batch) if self.loss.reads_tokens else None,
            )
        )
        for name, factor in self._factors.items():
            if factor:
                losses = losses + factor * getattr(penalties, name)(better, worse)
        return losses


def _aligned(scores: Scores, pairs: Pairs, batch: Batch) -> AlignedTokens:
    """The positions of each pair from the first token that differs to the earlier end."""
    answer_tokens(batch)  # says that slices have none
    starts, ends = batch.cu_seqlens[:-1].long(), scores.end_index
    own, others, numbers = [], [], []
    for number, (one, other) in enumerate(
        zip(pairs.better.tolist(), pairs.worse.tolist(), strict=True)
    ):
        length = int(min(ends[one] - starts[one], ends[other] - starts[other])) + 1
        first, second = (
            torch.arange(length, device=starts.device) + starts[d] for d in (one, other)
        )
        differ = (batch.input_ids[0, first] != batch.input_ids[0, second]).cumsum(0) > 0
        own.append(first[differ])
        others.append(second[differ])
        numbers.append(first[differ] * 0 + number)
    empty = starts.new_zeros(0)
    better, worse, number_of = (torch.cat([empty, *found]) for found in (own, others, numbers))
    flat = scores.scores[0, :, 0]
    return AlignedTokens(flat[better], flat[worse], number_of)


def _moments(values: Tensor, pairs: Pairs, batch: Batch, each: float) -> dict[str, Tensor]:
    """Shares of the means over prompts, of the means over their answers."""
    groups = group_numbers(batch)
    with_pair = torch.isin(groups, groups[pairs.better])
    share = with_pair / torch.bincount(groups)[groups] * each
    lengths = sum_by_document((batch.labels[0] != IGNORE_INDEX).float(), batch)
    found = {
        "score_mean": values,
        "score_square": values**2,
        "length_mean": lengths,
        "length_square": lengths**2,
        "score_length": values * lengths,
    }
    return {name: (numbers * share).sum() for name, numbers in found.items()}


def with_head(llm: Any, adapter: PeftConfig) -> PeftConfig:
    """Return an adapter that trains the head too, and is of a model that scores.

    Args:
        llm: a model that scores.
        adapter: to be attached to it.
    """
    own: Any = copy.deepcopy(adapter)
    if is_classifier(llm):  # another one is refused when all is built
        own.task_type = "SEQ_CLS"
        own.modules_to_save = list(dict.fromkeys([*(own.modules_to_save or ()), "score"]))
    return own


def _require_together(loss: RewardLoss, reading: str, factors: Mapping[str, float]) -> None:
    if reading not in READINGS:
        raise ConfigError(f"reading is {reading!r}; it is one of: {', '.join(READINGS)}")
    for name, factor in factors.items():
        if factor < 0:
            raise ConfigError(f"{name} is {factor}; it is 0 (off) or more")
    name = type(loss).__name__
    if loss.reads_tokens and reading == "end":
        raise ConfigError(
            f"the loss {name} trains the scores of all tokens, and reading='end' would use the "
            "last one alone, which may never have been compared: set reading='token_mean'"
        )
    if loss.is_cost and factors["centre"]:
        raise ConfigError(
            f"the loss {name} gives costs, whose 0 lies between safe and unsafe, and centre would "
            "move it: set centre=0; l2=0.001 keeps costs small"
        )
