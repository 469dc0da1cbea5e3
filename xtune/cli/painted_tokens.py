"""Tokens as `xtune log-dataset` paints them: trained ones green, masked ones grey."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from xtune.data.shown import how_trained

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["painted"]

_TRAINED = ("bold green", "green")  # alternating, so that tokens can be told apart
_MASKED = ("grey62", "grey46")


def painted(tokens: Sequence[dict[str, Any]], *, marked: bool) -> Text:
    """Return the text of tokens in their colours.

    Args:
        tokens: each with text, trained, weight.
        marked: put « » around trained ones, for where there is no colour.
    """
    from rich.text import Text

    return Text().join(_pieces(tokens, marked=marked))


def _pieces(tokens: Sequence[dict[str, Any]], *, marked: bool) -> Iterator[Text]:
    from rich.text import Text

    shown = [token for token in tokens if token["text"]]  # others are parts of a character
    for (trained, weight), group in groupby(shown, key=_style_of):
        styles = _TRAINED if trained else _MASKED
        if marked and trained:
            yield Text("«")
        if weight != 1:
            yield Text(f"×{weight:g} ", style="bold magenta")
        for place, token in enumerate(group):
            yield Text(token["text"].replace("\n", "⏎\n"), style=styles[place % 2])
        if marked and trained:
            yield Text("»")


def _style_of(token: dict[str, Any]) -> tuple[bool, float]:
    return how_trained(token["trained"], token["weight"])
