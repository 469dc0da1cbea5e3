"""Plain text, all of it trained: pretraining data."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.base import UnusableRow, is_blank, text_field
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["pretrain_map_fn"]


@MAP_FNS.register_module("pretrain")
def pretrain_map_fn(row: dict[str, Any]) -> Conversation:
    """Read `text`, and leave it as it stands: indentation at its beginning means something.

    >>> pretrain_map_fn({'text': 'Once upon a time.', 'url': 'ignored'})
    {'text': 'Once upon a time.'}

    Raises:
        UnusableRow: the text is empty or null.
        DataError: there is no `text`, or it is not text.
    """
    text = text_field(row, "text")
    if is_blank(text):
        raise UnusableRow("empty text")
    return {"text": text}
