"""A request and its answer in whatever columns a table has them, which the config names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xtune.data.map_fns.pair import pair
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["columns_map_fn"]


@MAP_FNS.register_module("columns")
def columns_map_fn(
    row: dict[str, Any],
    *,
    asked: str | Sequence[str] = "question",
    answer: str = "answer",
    system: str = "",
) -> Conversation:
    r"""Read `question` and `answer`, or the columns that `asked`, `answer` and `system` name.

    `map_fn=dict(type='columns', asked=['title', 'body'], answer='reply')`: of several columns the
    texts are joined, each on a line of its own.

    >>> columns_map_fn({'question': 'Two and two?', 'answer': 'Four.'})['messages'][1]['content']
    'Four.'
    >>> row = {'Title': 'Rome', 'Body': 'When was it built?', 'Reply': 'Not in a day.'}
    >>> columns_map_fn(row, asked=['Title', 'Body'], answer='Reply')['messages'][0]['content']
    'Rome\nWhen was it built?'

    Args:
        row: a raw row.
        asked: the column of the request, or several.
        answer: the column of the answer.
        system: the column of a system text; '' for none.

    Raises:
        UnusableRow: nothing is asked, or the answer is empty.
        DataError: a column is missing or not text.
    """
    names = (asked,) if isinstance(asked, str) else tuple(asked)
    return pair(row, asked=names, answer=answer, system=system)
