"""MOSS-003-SFT: turns with inner thoughts, commands to plugins, their results, and an answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from xtune.data.map_fns.base import UnusableRow, describe, field, text_field
from xtune.data.map_fns.dialogue import dialogue
from xtune.data.map_fns.literal import held
from xtune.errors import DataError
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["moss_003_sft_map_fn"]

_MARKS = re.compile(r"\A<\|[\w ]+\|>:|<eo[htcrm]>\Z")
_TURN = re.compile(r"turn_(\d+)")


@MAP_FNS.register_module("moss_003_sft")
def moss_003_sft_map_fn(row: dict[str, Any]) -> Conversation:
    r"""Read `meta_instruction` (optional) and `chat`, {turn_1: {Human, ..., MOSS}, turn_2: ...}.

    A turn becomes up to four messages:

        Human                       user       shown
        Inner Thoughts, Commands    assistant  trained, in MOSS's own marks up to <eoc>
        Tool Responses              tool       shown
        MOSS                        assistant  trained

    The marks of the first two trained sections stay in the text, since they tell them apart; those
    of the others ('<|Human|>: ', '<eoh>', ...) are the template's to write. A section that says
    'None' is kept: so the model learns when no plugin is needed. In the files without plugins a
    turn has Human and MOSS alone.

    >>> moss_003_sft_map_fn({'meta_instruction': 'You are MOSS.', 'chat': {'turn_1': {
    ...     'Human': '<|Human|>: 3 * 3?<eoh>\n',
    ...     'Inner Thoughts': '<|Inner Thoughts|>: It wants a product.<eot>\n',
    ...     'Commands': '<|Commands|>: Calculate("3*3")<eoc>\n',
    ...     'Tool Responses': '<|Results|>: Calculate("3*3") => 9<eor>\n',
    ...     'MOSS': '<|MOSS|>: Nine.<eom>\n'}}})['messages'][2:] # doctest: +NORMALIZE_WHITESPACE
    [{'role': 'assistant', 'content': '<|Inner Thoughts|>: It wants a product.<eot>\n<|Commands|>:
                                       Calculate("3*3")<eoc>'},
     {'role': 'tool', 'content': 'Calculate("3*3") => 9'},
     {'role': 'assistant', 'content': 'Nine.'}]

    Raises:
        UnusableRow: no turn, or an empty request or answer.
        DataError: `chat` is missing, or a section is not text.
    """
    messages: list[dict[str, Any]] = []
    if "meta_instruction" in row and (text := text_field(row, "meta_instruction").strip()):
        messages.append({"role": "system", "content": text})
    for name, turn in _in_order(held(field(row, "chat"), name="chat")):
        messages += _messages(turn, name)
    if not any(message["role"] != "system" for message in messages):
        raise UnusableRow("no messages")
    return dialogue(messages)


def _in_order(chat: object) -> list[tuple[str, Any]]:
    """The turns by their number; null ones, which Arrow's tables put in, are no turns."""
    if not isinstance(chat, Mapping):
        raise DataError(f"field 'chat' must be an object of turns, not {describe(chat)}")
    turns = []
    for name, turn in chat.items():
        numbered = _TURN.fullmatch(str(name))
        if numbered is None:
            raise DataError(f"field 'chat' must hold turn_1, turn_2, ..., not {name!r}")
        if turn is not None:
            turns.append((int(numbered[1]), str(name), turn))
    return [(name, turn) for _, name, turn in sorted(turns, key=lambda numbered: numbered[0])]


def _messages(turn: object, name: str) -> list[dict[str, Any]]:
    if not isinstance(turn, Mapping):
        raise DataError(f"{name} must be an object with Human and MOSS, not {describe(turn)}")
    made = [{"role": "user", "content": _section(turn, "Human", name)}]
    if turn.get("Inner Thoughts") is not None or turn.get("Commands") is not None:
        thoughts = _section(turn, "Inner Thoughts", name)
        commands = _section(turn, "Commands", name)
        marked = f"<|Inner Thoughts|>: {thoughts}<eot>\n<|Commands|>: {commands}<eoc>"
        made.append({"role": "assistant", "content": marked})
        made.append({"role": "tool", "content": _section(turn, "Tool Responses", name)})
    made.append({"role": "assistant", "content": _section(turn, "MOSS", name)})
    return made


def _section(turn: Mapping[str, Any], section: str, name: str) -> str:
    """The text of a section without its marks."""
    return _MARKS.sub("", text_field(turn, section, of=name).strip()).strip()
