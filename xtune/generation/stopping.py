"""What ends an answer: the model's own end tokens, the template's stop words, the end of turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers import StoppingCriteria

from xtune.data.templates.end_ids import end_ids_and_words
from xtune.generation.answer import Answer
from xtune.parallel.progress import beat

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

__all__ = ["WatchAnswers", "stop_ids_and_words"]

_LEAVE_AT = 8  # rows of which one must have ended: to leave copies the others' keys and values


def stop_ids_and_words(
    llm: Any, tokenizer: PreTrainedTokenizerBase, stop_words: Sequence[str] = ()
) -> tuple[list[int], list[str]]:
    """Collect what ends an answer of this model.

    Args:
        llm: the model; the end tokens of its generation config count.
        tokenizer: its end token counts, and the one its chat template ends an answer with.
        stop_words: the ones trained with, if they are not the tokenizer's own.

    Returns:
        Ids that end an answer, sorted, and the words to look for in its text.
    """
    declared = getattr(getattr(llm, "generation_config", None), "eos_token_id", None)
    ids, words = end_ids_and_words(declared, tokenizer, stop_words)
    return sorted(ids), words


class WatchAnswers(StoppingCriteria):
    """Feeds each new token to its row's Answer, and ends the rows whose answer has ended.

    Args:
        answers: of the rows.
        on_text: called with the text that may be shown.
        leave: end all rows once an eighth has ended, so that the others go on without them: a row
            that has ended costs as much as one that has not.
    """

    def __init__(
        self, answers: Sequence[Answer], on_text: Any = None, *, leave: bool = False
    ) -> None:
        self._answers = answers
        self._on_text = on_text
        self._leave = leave
        self._left = False

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        """Return which rows are done: bool [B]; `input_ids` is int64 [B, T]."""
        beat()  # a training run may be waiting for this process
        if self._left:  # on Apple's GPUs transformers sees that a step late, and drops a token
            return torch.ones(len(self._answers), dtype=torch.bool, device=input_ids.device)
        for answer, token_id in zip(self._answers, input_ids[:, -1].tolist(), strict=True):
            shown = answer.push(token_id)
            if shown and self._on_text is not None:
                self._on_text(shown)
        ended = [answer.ended for answer in self._answers]
        self._left = self._leave and sum(ended) * _LEAVE_AT >= len(ended)
        if self._left:
            ended = [True] * len(ended)
        return torch.tensor(ended, dtype=torch.bool, device=input_ids.device)
