"""What ends an answer: the model's own end tokens, the template's stop words, the end of turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from jinja2 import TemplateError as JinjaError
from transformers import StoppingCriteria

from xtune.chat.answer import Answer

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

__all__ = ["WatchAnswers", "stop_ids_and_words"]

_PROBE = "xtuneprobe"  # an answer whose end is easily found again in the rendered text


def stop_ids_and_words(
    llm: Any, tokenizer: PreTrainedTokenizerBase, stop_words: Sequence[str] = ()
) -> tuple[list[int], list[str]]:
    """Collect what ends an answer of this model.

    Args:
        llm: the model; the end tokens of its generation config count.
        tokenizer: its end token counts, and the one its chat template puts after an answer.
        stop_words: the template's own.

    Returns:
        Ids that end an answer, sorted, and those stop words that are no single token.
    """
    declared = getattr(getattr(llm, "generation_config", None), "eos_token_id", None)
    ids = set(declared if isinstance(declared, (list, tuple)) else [declared])
    ids.add(tokenizer.eos_token_id)
    ids.add(_end_of_turn_id(tokenizer))
    words = []
    for word in stop_words:
        encoded = tokenizer.encode(word, add_special_tokens=False)
        # Only an added token is one token whatever stands before it; plain text may be merged
        # with its neighbours, and is looked for in the text.
        if len(encoded) == 1 and encoded[0] in tokenizer.added_tokens_decoder:
            ids.add(encoded[0])
        else:
            words.append(word)
    return sorted(id_ for id_ in ids if id_ is not None), words


def _end_of_turn_id(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The added token that the chat template writes right after an answer, if it does."""
    if not tokenizer.chat_template:
        return None
    dialogue = [{"role": "user", "content": "."}, {"role": "assistant", "content": _PROBE}]
    try:
        text = tokenizer.apply_chat_template(dialogue, tokenize=False)
    except JinjaError:  # a template with demands of its own; the other end tokens must do
        return None
    after = str(text).rpartition(_PROBE)[2].lstrip()
    ids = tokenizer.encode(after, add_special_tokens=False) if after else []
    return ids[0] if ids and ids[0] in tokenizer.added_tokens_decoder else None


class WatchAnswers(StoppingCriteria):
    """Feeds each new token to its row's Answer, and ends the rows whose answer has ended."""

    def __init__(self, answers: Sequence[Answer], on_text: Any = None) -> None:
        self._answers = answers
        self._on_text = on_text

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        """Return which rows are done: bool [B]; `input_ids` is int64 [B, T]."""
        for answer, token_id in zip(self._answers, input_ids[:, -1].tolist(), strict=True):
            shown = answer.push(token_id)
            if shown and self._on_text is not None:
                self._on_text(shown)
        ended = [answer.ended for answer in self._answers]
        return torch.tensor(ended, dtype=torch.bool, device=input_ids.device)
