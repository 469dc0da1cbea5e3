"""What ends an answer: the model's own end tokens, the template's stop words, the end of turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from xtune.data.templates.end_ids import end_ids_and_words

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["stop_ids_and_words"]


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
