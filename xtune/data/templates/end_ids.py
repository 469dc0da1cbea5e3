"""Which tokens end an answer: chat stops at them, and the files that are saved name them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from xtune.data.templates.base import Template, build_template
from xtune.data.templates.end_of_turn import special_tokens
from xtune.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from xtune.structures import Conversation

__all__ = ["end_ids_and_words", "stop_words_of"]

_TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Look.",
        "parameters": {"type": "object", "properties": {}, "required": []},
    },
}
_CALL = {"type": "function", "function": {"name": "look", "arguments": {}}}


def end_ids_and_words(
    declared: int | Sequence[int] | None,
    tokenizer: PreTrainedTokenizerBase,
    stop_words: Sequence[str] = (),
) -> tuple[list[int], list[str]]:
    """Collect what ends an answer.

    Args:
        declared: `eos_token_id` of a generation config.
        tokenizer: its end token counts, and the one its chat template ends an answer with.
        stop_words: the ones trained with, if they are not the tokenizer's own.

    Returns:
        Ids that end an answer: the declared ones in their order, then the others, sorted; and the
        words to look for in its text.
    """
    first = [declared] if isinstance(declared, int) else list(declared or ())
    more = {tokenizer.eos_token_id}
    words = []
    own = build_template("auto", tokenizer).stop_words if tokenizer.chat_template else ()
    for word in {*stop_words, *own}:
        id_: Any = tokenizer.convert_tokens_to_ids(word)
        is_token = isinstance(id_, int) and id_ != tokenizer.unk_token_id
        if is_token:
            more.add(id_)
        # Only an added token is itself whatever stands around it; other text may come in pieces.
        if not is_token or id_ not in tokenizer.added_tokens_decoder:
            words.append(word)
    return [*first, *sorted(more - {None, *first})], sorted(words)


def stop_words_of(template: Template, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return the tokens that end an answer, and the one that ends a call where that is another.

    Llama 3.1 ends a call with <|eom_id|> and gpt-oss with <|call|>; a model that is trained on
    calls learns to write it. A token that also stands between two calls ends none.

    Args:
        template: of the training.
        tokenizer: of the training.
    """
    words = list(template.stop_words)
    if template.jinja is None:
        return words
    special = set(special_tokens(tokenizer))
    one, two = (_last_answer(template, calls) for calls in (1, 2))
    last = next((token for token in sorted(special, key=len) if one.endswith(token)), None)
    if last is not None and last not in words and last not in two.removesuffix(last):
        words.append(last)
    return words


def _last_answer(template: Template, calls: int) -> str:
    """What is trained of an answer of so many calls; '' if the template writes no calls."""
    conversation: Conversation = {
        "messages": [
            {"role": "user", "content": "?"},
            {"role": "assistant", "content": "", "tool_calls": [_CALL] * calls},
        ],
        "tools": [_TOOL],
    }
    try:
        samples = template.samples_of(conversation)
    except DataError:
        return ""
    trained = [span.text for span in samples[-1] if span.trained] if samples else []
    return trained[-1] if trained else ""
