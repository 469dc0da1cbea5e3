"""Pairs of answers in the form of TRL: a prompt, the chosen answer, the rejected one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xtune.data.map_fns.base import UnusableRow, describe, field, flag
from xtune.data.map_fns.dialogue import checked_messages
from xtune.data.map_fns.judgement import number_field, require_judgement, with_source
from xtune.data.map_fns.literal import held_list, messages_or_text
from xtune.data.map_fns.tools import tools_of
from xtune.errors import DataError
from xtune.registry import MAP_FNS
from xtune.structures import Message, Preference

__all__ = [
    "HELD",
    "pair_of_dialogues",
    "preference_map_fn",
    "preference_of",
    "said",
    "split_pair",
    "without_prompt",
]

HELD = "chosen and rejected hold the prompt"  # a form; see Preference


@MAP_FNS.register_module("preference")
def preference_map_fn(row: dict[str, Any]) -> Preference:
    """Read `prompt`, `chosen` and `rejected`: each a text, or messages of {role, content}.

    Where chosen and rejected are messages they may begin with the prompt; what they have in common
    is the prompt then, and `prompt` is not read and may be absent. Texts that both begin with the
    whole prompt lose it. The report counts such rows. What else is read where it is there:
    `margin` (optional), by how much the chosen one is better; `soft_label` (optional), how
    probable that is, from 0.5 for a tie to 1; `safe` (optional), whether the chosen answer is safe
    and whether the rejected one is, for a cost model; `tools` (optional); and `source` (optional),
    the name of where the pair comes from. Also reads Dahoas/synthetic-instruct-gptj-pairwise and
    liyucheng/zhihu_rlhf_3k.

    >>> preference_map_fn({'prompt': 'Two and two?', 'chosen': 'Four.', 'rejected': 'Five.',
    ...     'margin': 1.5, 'soft_label': 0.9, 'safe': [True, False], 'source': 'sums'})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'prompt': [{'role': 'user', 'content': 'Two and two?'}],
     'chosen': [{'role': 'assistant', 'content': 'Four.'}],
     'rejected': [{'role': 'assistant', 'content': 'Five.'}],
     'margin': 1.5, 'soft_label': 0.9, 'safe': [True, False], 'source': 'sums'}

    Raises:
        UnusableRow: an empty request or answer, both answers are the same, or the margin is
            negative.
        DataError: a field is missing or of another form.
    """
    pair = _parted(row)
    for name in ("margin", "soft_label"):
        if _says(row, name):
            pair[name] = number_field(row, name)
    if _says(row, "safe"):
        verdicts = held_list(row["safe"], name="safe", of="booleans")
        pair["safe"] = [flag(one, name=f"safe[{n}]") for n, one in enumerate(verdicts)]
    if tools := tools_of(row.get("tools")):
        pair["tools"] = tools
    require_judgement(pair)
    return with_source(pair, row.get("source"))


def _says(row: Mapping[str, Any], name: str) -> bool:
    value = row.get(name)
    return value is not None and value == value  # NaN: a missing value of a table


def _parted(row: dict[str, Any]) -> Preference:
    """The prompt and the two answers, wherever the prompt stands."""
    chosen, rejected = (messages_or_text(field(row, name), name=name) for name in _ANSWERS)
    if (
        isinstance(chosen, str)
        and isinstance(rejected, str)
        and isinstance(row.get("prompt"), str)
        and isinstance(messages_or_text(row["prompt"], name="prompt"), str)
    ):
        texts, form = without_prompt(row["prompt"], chosen, rejected)
        pair = preference_of(
            _messages(row["prompt"], "prompt", role="user"), *(said(text) for text in texts)
        )
        return {**pair, "form": form} if form else pair
    better, worse = (
        _messages(value, name, role="assistant")
        for value, name in zip((chosen, rejected), _ANSWERS, strict=True)
    )
    alike = _alike(better, worse)
    if len(better) > 1 and len(worse) > 1 and ("prompt" not in row or _asks(better[:alike])):
        pair = split_pair(better, worse)
        return {**pair, "form": HELD} if "prompt" in row else pair
    prompt = _messages(field(row, "prompt"), "prompt", role="user")
    if not prompt or alike in (0, len(better), len(worse)):
        return preference_of(prompt, better, worse)
    return preference_of([*prompt, *better[:alike]], better[alike:], worse[alike:])


_ANSWERS = ("chosen", "rejected")


def said(text: str | None) -> list[dict[str, Any]]:
    """Return the messages of an answer in one text."""
    return [{"role": "assistant", "content": text}]


def without_prompt(prompt: str, better: str, worse: str) -> tuple[tuple[str, str], str]:
    r"""Take the prompt off two answers that both begin with it, and say so.

    A prompt of one word is left: two answers to 'Hi' may well begin with it.

    >>> without_prompt('Two and two?', 'Two and two? Four.', 'Two and two?\nFive.')
    ((' Four.', '\nFive.'), 'chosen and rejected hold the prompt')
    >>> without_prompt('Two and two?', 'Four.', 'Two and two? Five.')
    (('Four.', 'Two and two? Five.'), '')

    Args:
        prompt: a text.
        better: an answer's text.
        worse: the other's.

    Returns:
        The texts of the answers, and how the prompt was found; '' where it stands in its field
        alone.
    """
    if len(prompt.split()) > 1 and better.startswith(prompt) and worse.startswith(prompt):
        rest = better[len(prompt) :], worse[len(prompt) :]
        if prompt[-1:].isspace() or all(one[:1].isspace() for one in rest):
            return rest, HELD
    return (better, worse), ""


def pair_of_dialogues(row: Mapping[str, Any]) -> Preference:
    """Make a pair of a row's `chosen` and `rejected`, whole dialogues in OpenAI's form.

    Args:
        row: as it was read; its other fields are not.

    Raises:
        UnusableRow: as `preference_of`.
        DataError: a field is missing or no list of messages.
    """
    return split_pair(*(held_list(field(row, name), name=name, of="messages") for name in _ANSWERS))


def split_pair(better: Sequence[Any], worse: Sequence[Any]) -> Preference:
    """Make a pair of two whole dialogues: the messages that they begin with alike are the prompt.

    Args:
        better: the dialogue whose answer is preferred.
        worse: the other.

    Raises:
        UnusableRow, DataError: as `preference_of`.
    """
    alike = _alike(better, worse)
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


def _alike(better: Sequence[Any], worse: Sequence[Any]) -> int:
    """How many messages two dialogues begin with alike, up to the last that is no answer."""
    alike = 0
    for one, other in zip(better, worse, strict=False):
        if one != other:
            break
        alike += 1
    while alike and _role(better[alike - 1]) == "assistant":
        alike -= 1  # an answer that both give is no question
    return alike


def _asks(messages: Sequence[Any]) -> bool:
    """Whether a dialogue begins with messages of whoever asks, not in the middle of an answer."""
    return bool(messages) and _role(messages[0]) != "assistant"


def _role(message: object) -> object:
    return message.get("role") if isinstance(message, Mapping) else None
