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
    """Feeds each new token to its row's Answer, and ends the rows whose answer has ended."""

    def __init__(self, answers: Sequence[Answer], on_text: Any = None) -> None:
        self._answers = answers
        self._on_text = on_text

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        """Return which rows are done: bool [B]; `input_ids` is int64 [B, T]."""
        beat()  # a training run may be waiting for this process
        for answer, token_id in zip(self._answers, input_ids[:, -1].tolist(), strict=True):
            shown = answer.push(token_id)
            if shown and self._on_text is not None:
                self._on_text(shown)
        ended = [answer.ended for answer in self._answers]
        return torch.tensor(ended, dtype=torch.bool, device=input_ids.device)
