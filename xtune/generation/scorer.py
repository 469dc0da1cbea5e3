"""`Scorer`: what gives tokenised answers a number each: a reward model, or what DPO has taught.

The sampler of a rollout has such answers; rows of a file become them by `xtune.data.scored_rows`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from xtune.data.collate import collate
from xtune.generation.locate import Located
from xtune.generation.model import tokenizer_of
from xtune.generation.room import context_length
from xtune.models import Backbone
from xtune.models.self_test import check_backbone
from xtune.structures import Batch, Sample

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Scorer", "backbone_of", "device_to_score_on", "loaded_fields"]

_ROW = 4096  # tokens of a row of answers


@dataclass(slots=True)
class Scorer(ABC):
    """What gives answers scores.

    Attributes:
        tokenizer: has a chat template, if the training noted one.
        name: for people.
        system: the system prompt of the training; '' if none.
        context: tokens that it can take; None: it does not say.
    """

    tokenizer: PreTrainedTokenizerBase
    name: str
    system: str
    context: int | None

    @property
    @abstractmethod
    def about(self) -> dict[str, Any]:
        """How its scores are to be read: `kind`, `reading`, `shift`."""

    @abstractmethod
    def scores(self, batch: Batch) -> Tensor:
        """Return a score of each document, fp32 [S].

        Args:
            batch: on the model's device, with labels at the answers' tokens.
        """

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the model is."""

    @torch.no_grad()
    def score(
        self, samples: Sequence[Sample], *, on_progress: Callable[[int, int], None] | None = None
    ) -> list[float]:
        """Return the score of each sample.

        Args:
            samples: prompt and answer; the answer's tokens have labels.
            on_progress: told how many are done, of how many.
        """
        found: list[float] = []
        for row in _rows(samples):
            found += self.scores(collate(row).to(self.device)).tolist()
            if on_progress is not None:
                on_progress(len(found), len(samples))
        return found


def loaded_fields(found: Located, named: str, notes: dict[str, Any], llm: Any) -> dict[str, Any]:
    """Return what every scorer has: tokenizer, name, system, context.

    Args:
        found: model and adapter.
        named: by the user.
        notes: of the training.
        llm: loaded.
    """
    tokenizer, _ = tokenizer_of(found, notes)
    return {
        "tokenizer": tokenizer,
        "name": named if found.adapter is None or found.implied else f"{named} + {found.adapter}",
        "system": notes.get("system") or "",
        "context": context_length(llm),
    }


def backbone_of(llm: Any) -> Backbone:
    """Return a loaded model, set up to score rows of answers, and proven to do it as it should.

    Args:
        llm: with its adapter if it has one.

    Raises:
        ModelError: packed answers would get other scores than single ones.
    """
    backbone = Backbone(llm, frozen=True)
    check_backbone(backbone, answers=True)
    return backbone


def device_to_score_on() -> str:
    """Return 'cuda' if there is a GPU, else 'cpu'."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def _rows(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    """Samples in their order, up to so many tokens a row, or one that is longer."""
    row: list[Sample] = []
    for sample in samples:
        if row and sum(map(len, row)) + len(sample) > _ROW:
            yield row
            row = []
        row.append(sample)
    if row:
        yield row
