"""SQL from a question and the tables it is about: b-mc2/sql-create-context."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.pair import pair
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["sql_map_fn"]


@MAP_FNS.register_module("sql")
def sql_map_fn(row: dict[str, Any]) -> Conversation:
    r"""Read `context` (the CREATE TABLE statements), `question` and `answer`.

    The request is the tables, and on the next line the question.

    >>> sql_map_fn({'context': 'CREATE TABLE head (age INTEGER)',
    ...     'question': 'How many are over 56?',
    ...     'answer': 'SELECT COUNT(*) FROM head WHERE age > 56'})['messages'][0]['content']
    'CREATE TABLE head (age INTEGER)\nHow many are over 56?'

    Raises:
        UnusableRow: nothing is asked, or the answer is empty.
        DataError: a field is missing or not text.
    """
    return pair(row, asked=("context", "question"), answer="answer")
