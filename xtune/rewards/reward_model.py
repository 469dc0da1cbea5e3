"""The score of a reward model that is loaded next to the policy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from xtune.data.prompts import PromptRow
from xtune.errors import UsageError
from xtune.generation.generate import prompt_ids
from xtune.generation.reward_scorer import RewardScorer
from xtune.generation.sampled_answer import SampledAnswer
from xtune.registry import REWARDS
from xtune.structures import IGNORE_INDEX, Sample

__all__ = ["RewardModelReward"]


@REWARDS.register_module("reward_model")
class RewardModelReward:
    """What a reward model says of prompt and answer, its shift subtracted.

    The sampled tokens themselves are scored: its tokenizer and template are the policy's. A reward
    model that is an adapter on the policy's base needs no second base in memory:
    algorithm=dict(type='ActorCritic', reward_model=…).

    Args:
        model: a folder or hub id of a reward model, or the work_dir of a run.
        adapter: of it, where `model` is a base.
        bits: 4 or 8 quantizes its layers.
    """

    def __init__(self, *, model: str, adapter: str | None = None, bits: int | None = None) -> None:
        self._model, self._adapter, self._bits = model, adapter, bits

    @cached_property
    def _scorer(self) -> RewardScorer:
        return RewardScorer.load(self._model, adapter=self._adapter, bits=self._bits)

    def require(self, prompts: Sequence[PromptRow]) -> None:
        """Load the reward model, so that what does not fit is said before the first answer.

        Raises:
            UsageError: there is no such thing; it is a language model; or it reads a prompt as
                other tokens than the policy does.
        """
        scorer, first = self._scorer, prompts[0]
        if tuple(prompt_ids(scorer.tokenizer, first.messages, first.tools)) != first.ids:
            raise UsageError(
                f"the reward model {self._model!r} reads {first.where} as other tokens than the "
                "policy: it was trained with another tokenizer or template. Train one from the "
                "policy's own model, with the same prompt_template"
            )

    def __call__(self, answers: Sequence[SampledAnswer]) -> list[float]:
        """Return the score of each answer."""
        return self._scorer.score([self._sample(answer) for answer in answers])

    def _sample(self, answer: SampledAnswer) -> Sample:
        prompt = answer.prompt.ids
        ids = np.array([*prompt, *answer.tokens], dtype=np.int32)
        labels = np.full(len(ids), IGNORE_INDEX, dtype=np.int32)
        labels[len(prompt) :] = ids[len(prompt) :]
        return Sample(ids, labels)
