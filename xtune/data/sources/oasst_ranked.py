"""Open Assistant's messages as ranked answers: one row for each prompt that has several."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from xtune.data.sources.base import name_of_source
from xtune.data.sources.open_source import open_source
from xtune.errors import DataError
from xtune.registry import SOURCES

__all__ = ["OasstRankedSource"]

_ROLES = {"prompter": "user", "assistant": "assistant"}
_READY = "ready_for_export"

_Placed = tuple[str, Mapping[str, Any]]


@SOURCES.register_module("oasst_ranked")
class OasstRankedSource:
    """Rows of OpenAssistant/oasst1 or oasst2, messages or whole trees, for the map_fn 'ranking'.

        prompter   2?
        ├ assistant   Two.     rank 0       ->  {"prompt": [{user: 2?}], "answers": ["Two.", "3."],
        ├ assistant   3.       rank 1             "ranks": [0, 1], "source": "en"}
        └ assistant   What?    rank null        no row of its own, and no answer of this one

    A row is a prompter's message with at least two replies that people have ranked; the messages
    before it, by whichever way the tree goes there, are its prompt. Messages that are deleted or
    whose review failed are left out with all that follows them, and trees in another state than
    'ready_for_export'. The language is the source.

    Args:
        path: of the messages, as a `data_path`: a hub id, or files such as *.trees.jsonl,
            *.messages.jsonl.
        split: which part of the source, where it has parts.

    Raises:
        DataError: nothing is there under that name.
    """

    def __init__(
        self, path: str | Sequence[str] | Mapping[str, Any], *, split: str = "train"
    ) -> None:
        self._source = open_source(path, split=split)
        self.path = name_of_source(self._source)

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the rows in the order of their prompts, each with the prompt's place.

        All messages are held while they are put together: oasst2 has 130,000.

        Raises:
            DataError: a message is not of this form, or the data cannot be read.
        """
        children: dict[Any, list[_Placed]] = {}
        for where, row in self._source.rows():
            for message in _messages(where, row):
                if _is_kept(message):
                    children.setdefault(message.get("parent_id"), []).append((where, message))
        for where, root in children.get(None, []):
            yield from _ranked(where, root, [], children)

    def fingerprint(self) -> str:
        """Return a hash of the messages."""
        return hashlib.sha256(f"oasst ranked: {self._source.fingerprint()}".encode()).hexdigest()


def _messages(where: str, row: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The messages of a row: the row itself, or those of its tree."""
    if "message_id" in row and "text" in row:
        yield row
        return
    tree = row.get("prompt")
    if not isinstance(tree, Mapping):
        raise DataError(
            f"{where}: fields seen: {', '.join(map(repr, row)) or 'none'}. The source "
            "'oasst_ranked' reads Open Assistant's messages (message_id, parent_id, text, role, "
            "rank) or trees (prompt with replies)"
        )
    if row.get("tree_state", _READY) == _READY:
        yield from _of_tree(where, tree)


def _of_tree(where: str, root: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    waiting: list[tuple[Mapping[str, Any], Any]] = [(root, None)]
    number = 0
    while waiting:
        node, above = waiting.pop(0)
        number += 1
        own = {key: value for key, value in node.items() if key != "replies"}
        yield {**own, "message_id": (where, number), "parent_id": above}
        waiting += [(reply, (where, number)) for reply in node.get("replies") or []]


def _is_kept(message: Mapping[str, Any]) -> bool:
    return (
        message.get("deleted") is not True
        and message.get("review_result") is not False
        and (message.get("tree_state") or _READY) == _READY
    )


def _ranked(
    where: str,
    root: Mapping[str, Any],
    before: list[dict[str, str]],
    children: Mapping[Any, list[_Placed]],
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a tree, those of a prompt before those of what follows it."""
    waiting = [(where, root, before)]
    while waiting:
        place, message, earlier = waiting.pop(0)
        role, text = message.get("role"), message.get("text")
        if role not in _ROLES or not isinstance(text, str):
            raise DataError(
                f"{place}: a message must have a text and the role prompter or assistant, not "
                f"{role!r}"
            )
        so_far = [*earlier, {"role": _ROLES[role], "content": text}]
        replies = children.get(message["message_id"], [])
        ranked = sorted(
            (reply for _, reply in replies if isinstance(reply.get("rank"), int | float)),
            key=lambda reply: reply["rank"],
        )
        if role == "prompter" and len(ranked) > 1:
            yield (
                place,
                {
                    "prompt": so_far,
                    "answers": [reply.get("text") for reply in ranked],
                    "ranks": [int(reply["rank"]) for reply in ranked],
                    "source": message.get("lang"),
                },
            )
        waiting += [(at, reply, so_far) for at, reply in replies]
