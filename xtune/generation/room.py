"""Whether a prompt fits a model: its context, and the rows of its embedding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from xtune.errors import ModelError, UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["context_length", "require_fit"]


def context_length(llm: Any) -> int | None:
    """How many tokens the model can take in all; None where its config does not say."""
    return getattr(llm.config.get_text_config(), "max_position_embeddings", None)


def require_fit(
    llm: Any, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Sequence[int]]
) -> None:
    """Refuse prompts that the model cannot answer.

    Args:
        llm: a causal language model.
        tokenizer: that made the prompts.
        prompts: token ids of each.

    Raises:
        UsageError: a prompt fills the model's context.
        ModelError: the tokenizer has ids that the embedding has no row for.
    """
    context = context_length(llm)
    longest = max(map(len, prompts), default=0)
    if context is not None and longest >= context:
        raise UsageError(
            f"the prompt has {longest} tokens and the model's context is {context}: "
            "shorten it, or use a model with a longer context"
        )
    rows = getattr(llm.config.get_text_config(), "vocab_size", None)
    largest = max((max(prompt, default=0) for prompt in prompts), default=0)
    if rows is not None and largest >= rows:
        raise ModelError(
            f"the prompt has the token {tokenizer.convert_ids_to_tokens(largest)!r} (id {largest}),"
            f" but the model's embedding has {rows} rows. Take the tokenizer that the model was "
            "trained with, or give the model the token: xtune expand-vocab"
        )
