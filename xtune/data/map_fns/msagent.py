"""MSAgent-Bench: ModelScope's agent, whose calls and results stand inside its answers."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from xtune.data.map_fns.base import UnusableRow, describe, field, is_blank
from xtune.data.map_fns.dialogue import dialogue
from xtune.data.map_fns.literal import literal_list
from xtune.data.map_fns.speakers import spoken
from xtune.errors import DataError
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["Step", "msagent_map_fn", "said_in", "steps"]

_BLOCK = re.compile(r"<\|startof(think|exec)\|>(.*?)<\|endof\1\|>", re.DOTALL)
_MARKER = re.compile(r"<\|(?:start|end)of(?:think|exec)\|>")


@MAP_FNS.register_module("msagent")
def msagent_map_fn(row: dict[str, Any]) -> Conversation:
    r"""Read `conversations` of {from, value}, a list or its text as JSON or a Python literal.

    An answer is cut where its blocks end: up to a think block, in which the agent writes a call,
    it is trained as it stands; an exec block, in which the result came back, becomes a system
    message, which is shown and not trained; then the answer goes on.

    >>> msagent_map_fn({'conversations': [
    ...     {'from': 'user', 'value': 'Time?'},
    ...     {'from': 'assistant', 'value': '<|startofthink|>{"api_name": "clock"}<|endofthink|>\n'
    ...         '<|startofexec|>{"result": "12:00"}<|endofexec|>\nNoon.'}]})['messages'][1:]
    ... # doctest: +NORMALIZE_WHITESPACE
    [{'role': 'assistant', 'content': '<|startofthink|>{"api_name": "clock"}<|endofthink|>'},
     {'role': 'system', 'content': '<|startofexec|>{"result": "12:00"}<|endofexec|>'},
     {'role': 'assistant', 'content': 'Noon.'}]

    Raises:
        UnusableRow: an empty request or answer, a block that does not end, or nothing to train on.
        DataError: `conversations` is missing or of another form.
    """
    messages: list[dict[str, Any]] = []
    for message in said_in(row):
        if message["role"] != "assistant" or is_blank(message["content"]):
            messages.append(message)
            continue
        for step in steps(message["content"]):
            if step.kind == "exec":
                block = f"<|startofexec|>{step.block}<|endofexec|>"
                messages.append({"role": "system", "content": block})
            else:
                block = f"<|startofthink|>{step.block}<|endofthink|>" if step.kind else ""
                text = f"{step.said}\n{block}" if step.said and block else step.said + block
                messages.append({"role": "assistant", "content": text})
    return dialogue(messages)


class Step(NamedTuple):
    """A stretch of an answer.

    Attributes:
        said: the text, without white space around it; before a think block it leads to the call.
        kind: 'think', 'exec', or '' for text alone.
        block: what stands in the block.
    """

    said: str
    kind: str
    block: str


def said_in(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the messages of a row's `conversations` as they stand, their content being text.

    Raises:
        DataError: it is missing or of another form.
    """
    said = literal_list(field(row, "conversations"), name="conversations")
    messages = [spoken(one, f"conversation element {n}") for n, one in enumerate(said, start=1)]
    for message in messages:
        if not isinstance(message["content"], str):
            raise DataError(f"'value' in 'conversations' must be text: {describe(message)}")
    return messages


def steps(answer: str) -> list[Step]:
    """Cut an answer behind each of its blocks.

    >>> steps('I look. <|startofthink|>{}<|endofthink|><|startofexec|>12<|endofexec|> Noon.')
    ... # doctest: +NORMALIZE_WHITESPACE
    [Step(said='I look.', kind='think', block='{}'), Step(said='', kind='exec', block='12'),
     Step(said='Noon.', kind='', block='')]

    Raises:
        UnusableRow: a block begins and does not end, or the other way round.
    """
    made, done = [], 0
    for block in _BLOCK.finditer(answer):
        said = answer[done : block.start()].strip()
        if said and block[1] == "exec":
            made.append(Step(said, "", ""))
            said = ""
        made.append(Step(said, block[1], block[2]))
        done = block.end()
    if rest := answer[done:].strip():
        made.append(Step(rest, "", ""))
    if any(_MARKER.search(step.said + step.block) for step in made):
        raise UnusableRow("a think or exec block that does not end")
    return made
