"""ms-swift's rows: a query and its response, perhaps after a history and a system text."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.base import text_field
from xtune.data.map_fns.dialogue import as_list, dialogue
from xtune.data.map_fns.pair import earlier, pair
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["query_response_map_fn"]


@MAP_FNS.register_module("query_response")
def query_response_map_fn(row: dict[str, Any]) -> Conversation:
    """Read `query`, `response`, and where they are there `system` and `history`.

    `history` is a list of earlier [query, response], whose answers are trained too.

    >>> query_response_map_fn({'system': 'Be brief.', 'history': [['Hi', 'Hello.']],
    ...     'query': 'Two and two?', 'response': 'Four.'})['messages'][1:3]
    [{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Hello.'}]

    Raises:
        UnusableRow: nothing is asked, or an answer is empty.
        DataError: a field is missing or of another form.
    """
    made = pair(row, asked="query", answer="response")
    if row.get("system") is None and row.get("history") is None:
        return made
    system = text_field(row, "system") if "system" in row else ""
    return dialogue(
        [
            *([{"role": "system", "content": system}] if system else []),
            *earlier(as_list(row.get("history"), name="history")),
            *made["messages"],
        ]
    )
