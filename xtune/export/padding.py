"""A padding token for a reward model, other than what ends its texts.

transformers reads the score at a row's last token that is not padding. Many tokenizers pad with
the end token; then it would be read one token early, at a place whose score was never trained.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["padding_of", "padding_set", "with_padding"]

_log = logging.getLogger(__name__)


def padding_of(tokenizer: PreTrainedTokenizerBase, stop_words: Sequence[str]) -> str | None:
    """Return a special token that ends no text: its own padding if it can be; None: there is none.

    Args:
        tokenizer: of the training.
        stop_words: of its template.
    """
    ends = {tokenizer.eos_token, *stop_words}
    special = [str(t) for _, t in sorted(tokenizer.added_tokens_decoder.items()) if t.special]
    named = [token for token in special if "pad" in token.lower()]
    begins = [tokenizer.bos_token]
    others = [token for token in special if token not in begins]
    wanted = [tokenizer.pad_token, *named, tokenizer.unk_token, *others, *begins]
    return next((str(token) for token in wanted if token and token not in ends), None)


def with_padding(
    tokenizer: PreTrainedTokenizerBase, stop_words: Sequence[str]
) -> PreTrainedTokenizerBase:
    """Return a copy that pads with `padding_of`, or with nothing.

    Args:
        tokenizer: stays as it is.
        stop_words: of its template.
    """
    own = copy.deepcopy(tokenizer)
    own.pad_token = padding_of(tokenizer, stop_words)
    if own.pad_token is None:
        _log.warning(
            "no special token of this tokenizer is other than its end token, so that there is none "
            "to pad with: plain transformers scores texts one by one"
        )
    return own


@contextmanager
def padding_set(llm: Any, token_id: int | None) -> Iterator[None]:
    """Let a model's config name a padding token, for the `with` block.

    Args:
        llm: a transformers model; a composite one looks into the config of its text model.
        token_id: of the token.
    """
    configs = [llm.config, llm.config.get_text_config()]
    before = [config.pad_token_id for config in configs]
    for config in configs:
        config.pad_token_id = token_id
    try:
        yield
    finally:
        for config, known in zip(configs, before, strict=True):
            config.pad_token_id = known
