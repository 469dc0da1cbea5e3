"""Pairs of answers in the form of TRL: a prompt, the chosen answer, the rejected one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xtune.data.map_fns.base import UnusableRow, describe, field
from xtune.data.map_fns.dialogue import checked_messages
from xtune.data.map_fns.literal import messages_or_text
from xtune.errors import DataError
from xtune.registry import MAP_FNS
from xtune.structures import Message, Preference

__all__ = ["preference_map_fn", "preference_of", "split_pair"]


@MAP_FNS.register_module("preference")
def preference_map_fn(row: dict[str, Any]) -> Preference:
    """Read `prompt`, `chosen` and `rejected`: each a text, or messages of {role, content}.

    Where chosen and rejected are messages they may repeat the prompt; what they have in common
    is the prompt then, and `prompt` is not read and may be absent.

    >>> preference_map_fn({'prompt': 'Two and two?', 'chosen': 'Four.', 'rejected': 'Five.'})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'prompt': [{'role': 'user', 'content': 'Two and two?'}],
     'chosen': [{'role': 'assistant', 'content': 'Four.'}],
     'rejected': [{'role': 'assistant', 'content': 'Five.'}]}

    Raises:
        UnusableRow: an empty request or answer, or both answers are the same.
        DataError: a field is missing or of another form.
    """
    chosen = _messages(field(row, "chosen"), "chosen", role="assistant")
    rejected = _messages(field(row, "rejected"), "rejected", role="assistant")
    if len(chosen) > 1 and len(rejected) > 1:
        return split_pair(chosen, rejected)
    return preference_of(_messages(field(row, "prompt"), "prompt", role="user"), chosen, rejected)


def split_pair(better: Sequence[Any], worse: Sequence[Any]) -> Preference:
    """Make a pair of two whole dialogues: the messages that they begin with alike are the prompt.

    Args:
        better: the dialogue whose answer is preferred.
        worse: the other.

    Raises:
        UnusableRow, DataError: as `preference_of`.
    """
    alike = 0
    for one, other in zip(better, worse, strict=False):
        if one != other:
            break
        alike += 1
    while alike and _role(better[alike - 1]) == "assistant":
        alike -= 1  # an answer that both give is no question
    if alike:
        checked_messages(worse[:alike])  # read as those of the better one are
    return preference_of(better[:alike], better[alike:], worse[alike:])


def preference_of(
    prompt: Sequence[Any], chosen: Sequence[Any], rejected: Sequence[Any]
) -> Preference:
    """Check the three parts of a pair, in OpenAI's form, and put them together.

    Args:
        prompt: messages before the answers.
        chosen: the better answer's messages.
        rejected: the worse one's.

    Raises:
        UnusableRow: an empty request or answer, nothing asked, or both answers are the same.
        DataError: a message is not of this form, or an answer does not end with an assistant's.
    """
    better, worse = _answer(chosen, "chosen"), _answer(rejected, "rejected")
    asked = checked_messages(prompt, of=" of the prompt") if prompt else []
    asked = [message for message in asked if message["role"] != "system" or message["content"]]
    if not any(message["role"] != "assistant" for message in asked):
        raise UnusableRow("empty request")
    if better == worse:
        raise UnusableRow("chosen and rejected are the same")
    return {"prompt": asked, "chosen": better, "rejected": worse}


def _answer(messages: Sequence[Any], name: str) -> list[Message]:
    if not messages:
        raise UnusableRow("empty answer")
    if _role(messages[-1]) != "assistant":
        raise DataError(f"{name!r} must end with a message of the role assistant")
    return checked_messages(messages, of=f" of {name!r}")


def _messages(value: object, name: str, *, role: str) -> list[Any]:
    value = messages_or_text(value, name=name)
    if value is None or isinstance(value, str):
        return [{"role": role, "content": value}]
    if not isinstance(value, list):
        raise DataError(f"field {name!r} must be a text or messages, not {describe(value)}")
    return value


def _role(message: object) -> object:
    return message.get("role") if isinstance(message, Mapping) else None
