"""Samples as people read them: token by token with text, whether it is trained, and its weight.

What `xtune log-dataset` prints and what the page of `xtune serve` shows are these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xtune.structures import Sample
from xtune.vectors import VECTORS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["how_trained", "numbers_of", "shown_sample", "texts_of_tokens"]

_PART_OF_A_CHARACTER = "\ufffd"  # what bytes that are no whole character are decoded to


def shown_sample(number: int, sample: Sample, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Return a sample's number, its side if it is one of a group's, `numbers` that are said of it,
    and its tokens: id, text, trained, weight of each.

    Args:
        number: of the sample.
        sample: as the data set gives it.
        tokenizer: that made it.
    """
    ids, labels = sample.input_ids.tolist(), sample.labels.tolist()
    weights = [1.0] * len(ids) if sample.weights is None else sample.weights.tolist()
    trained = [label == token for token, label in zip(ids, labels, strict=True)]
    styles = [how_trained(*style) for style in zip(trained, weights, strict=True)]
    texts = texts_of_tokens(tokenizer, ids, styles)
    tokens = [
        {"id": token, "text": text, "trained": is_trained, "weight": weight}
        for token, text, is_trained, weight in zip(ids, texts, trained, weights, strict=True)
    ]
    side = sample.per_document.get("side")  # of a pair, 0 is the chosen one
    grouped: dict[str, Any] = {} if side is None else {"side": side}
    if numbers := numbers_of(sample.per_document):
        grouped["numbers"] = numbers
    return {"sample": number, **grouped, "tokens": tokens}


def how_trained(trained: bool, weight: float) -> tuple[bool, float]:
    """Return what tokens of one style have in common.

    Args:
        trained: whether a token is.
        weight: how much it counts.
    """
    return trained, weight if trained else 1.0


def numbers_of(per_document: Mapping[str, float]) -> dict[str, float]:
    """Return what is said of an answer, without what says nothing.

    >>> numbers_of({'side': 0, 'rank': -1, 'score': 1.5})
    {'score': 1.5}

    Args:
        per_document: of its sample.
    """
    return {
        name: round(value, 6)
        for name, value in sorted(per_document.items())
        if name != "side" and value != VECTORS[name].neutral
    }


def texts_of_tokens(
    tokenizer: PreTrainedTokenizerBase,
    ids: Sequence[int],
    styles: Sequence[Iterable[float]],
) -> list[str]:
    """Return the text of each token; of a character of several tokens, all of it at the last.

    Tokens are decoded in runs: one alone may be a part of a character, and a SentencePiece token
    alone loses the blank before it. A run ends where a character does, or the style changes.

    Args:
        tokenizer: that made them.
        ids: of the tokens.
        styles: of each, as `how_trained` gives them.
    """
    texts = [""] * len(ids)
    before = begin = 0  # decoded with: the run before this one, for what is lost at a beginning
    for place in range(len(ids)):
        known = _decoded(tokenizer, ids[before:begin])
        text = _decoded(tokenizer, ids[before : place + 1])
        is_last = place + 1 == len(ids) or styles[place + 1] != styles[place]
        if not text.endswith(_PART_OF_A_CHARACTER) or is_last:
            texts[place] = text[len(known) :]
            before, begin = begin, place + 1
    return texts


def _decoded(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)) if ids else ""
