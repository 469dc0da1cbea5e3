"""Open Assistant's message trees: the files *.trees.jsonl."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xtune.data.map_fns.base import describe, field, text_field
from xtune.data.map_fns.dialogue import dialogue
from xtune.data.map_fns.literal import held
from xtune.errors import DataError
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["oasst_tree_map_fn"]

_ROLES = {"prompter": "user", "assistant": "assistant"}


@MAP_FNS.register_module("oasst_tree")
def oasst_tree_map_fn(row: dict[str, Any]) -> Conversation:
    """Read `prompt`: a message with text, role (prompter or assistant), rank and replies.

    A row is a whole tree and becomes one dialogue: at every message its best reply is followed,
    the one of the lowest rank, or the first where none has a rank. Other branches are not read,
    nor is a last message that nobody answers, nor messages marked deleted.

    >>> oasst_tree_map_fn({'message_tree_id': 'x', 'prompt': {
    ...     'text': 'Hi', 'role': 'prompter', 'replies': [
    ...         {'text': 'What?', 'role': 'assistant', 'rank': 1, 'replies': []},
    ...         {'text': 'Hello!', 'role': 'assistant', 'rank': 0, 'replies': []}]}})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'messages': [{'role': 'user', 'content': 'Hi'},
                  {'role': 'assistant', 'content': 'Hello!'}]}

    Raises:
        UnusableRow: an empty message, or no answer.
        DataError: `prompt` is missing, or a message is not of this form.
    """
    messages: list[dict[str, Any]] = []
    node: object = held(field(row, "prompt"), name="prompt")
    while node is not None:
        place = f"message {len(messages) + 1} of the tree"
        if not isinstance(node, Mapping):
            raise DataError(f"{place} must be an object with text and role, not {describe(node)}")
        role = field(node, "role", of=place)
        if role not in ("prompter", "assistant"):
            raise DataError(f"{place} has the role {role!r}; allowed: prompter, assistant")
        messages.append({"role": _ROLES[role], "content": text_field(node, "text", of=place)})
        node = _best_reply(node, place)
    if len(messages) > 1 and messages[-1]["role"] == "user":
        messages.pop()
    return dialogue(messages)


def _best_reply(node: Mapping[str, Any], place: str) -> object:
    replies = node.get("replies") or []
    if not isinstance(replies, list):
        raise DataError(f"the replies to {place} must be a list, not {describe(replies)}")
    for reply in replies:
        if not isinstance(reply, Mapping):
            raise DataError(f"a reply to {place} must be an object, not {describe(reply)}")
    alive = [reply for reply in replies if reply.get("deleted") is not True]
    return min(alive, key=_rank, default=None)


def _rank(reply: Mapping[str, Any]) -> float:
    rank = reply.get("rank")
    return rank if isinstance(rank, int | float) else float("inf")
