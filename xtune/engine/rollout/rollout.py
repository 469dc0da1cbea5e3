"""`Rollout`: the answers of an iteration, with all that is known of their tokens.

Every process has all of it. Shapes: N answers, T trained tokens of all, one answer after another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xtune.structures import IGNORE_INDEX, Sample

__all__ = ["Rollout"]


@dataclass(slots=True)
class Rollout:
    """Answers and what training needs of them.

    Attributes:
        prompts: tokens of each prompt, once for all answers to it.
        group: of each answer, the number of its prompt; int64 [N], ascending.
        answers: tokens of each answer.
        per_token: names of vectors.py -> fp32 [T].
        is_trained: bool [N]: answers that are not have no label.
        metrics: of the iteration, which its first step logs.
    """

    prompts: list[tuple[int, ...]]
    group: Tensor
    answers: list[tuple[int, ...]]
    per_token: dict[str, Tensor] = field(default_factory=dict)
    is_trained: Tensor = field(default_factory=lambda: torch.ones(0, dtype=torch.bool))
    metrics: dict[str, Any] = field(default_factory=dict)

    @property
    def lengths(self) -> Tensor:
        """Tokens of each answer, int64 [N]."""
        return torch.tensor([len(answer) for answer in self.answers], dtype=torch.int64)

    def sample(self, at: int, side: int) -> Sample:
        """Return a prompt with an answer to it, of which the answer has labels.

        Args:
            at: number of the answer.
            side: its place among those that stand next to each other after the same prompt.
        """
        prompt, answer = self.prompts[int(self.group[at])], self.answers[at]
        ids = np.array([*prompt, *answer], dtype=np.int32)
        labels = np.full(len(ids), IGNORE_INDEX, dtype=np.int32)
        if self.is_trained[at]:
            labels[len(prompt) :] = ids[len(prompt) :]
        start = int(self.starts[at])
        per_token = {}
        for name, values in self.per_token.items():
            per_token[name] = np.zeros(len(ids), dtype=np.float32)
            per_token[name][len(prompt) :] = values[start : start + len(answer)].numpy()
        return Sample(ids, labels, per_token=per_token, per_document={"side": side})

    @property
    def starts(self) -> Tensor:
        """Where each answer's tokens begin among all, int64 [N]."""
        return self.lengths.cumsum(0) - self.lengths

    def state_dict(self) -> dict[str, Any]:
        """Return all of it as tensors and plain values."""
        return {
            "prompts": _joined(self.prompts),
            "answers": _joined(self.answers),
            "group": self.group,
            "is_trained": self.is_trained,
            "per_token": dict(self.per_token),
            "metrics": self.metrics,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Rollout:
        """Read what `state_dict` returned."""
        return cls(
            prompts=_parted(state["prompts"]),
            answers=_parted(state["answers"]),
            group=state["group"],
            is_trained=state["is_trained"],
            per_token=dict(state["per_token"]),
            metrics=dict(state["metrics"]),
        )


def _joined(parts: Sequence[tuple[int, ...]]) -> dict[str, Tensor]:
    return {
        "ids": torch.tensor([token for part in parts for token in part], dtype=torch.int64),
        "lengths": torch.tensor([len(part) for part in parts], dtype=torch.int64),
    }


def _parted(state: Mapping[str, Tensor]) -> list[tuple[int, ...]]:
    return [tuple(part.tolist()) for part in state["ids"].split(state["lengths"].tolist())]
