"""Several answers to one prompt, the best first."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.base import UnusableRow, describe, field, is_blank
from xtune.data.map_fns.dialogue import checked_messages
from xtune.data.map_fns.judgement import require_judgement, with_source
from xtune.data.map_fns.literal import held_list, messages_or_text
from xtune.data.map_fns.tools import tools_of
from xtune.errors import DataError
from xtune.registry import MAP_FNS
from xtune.structures import Message, Ranking

__all__ = ["asked", "ranking_map_fn"]


@MAP_FNS.register_module("ranking")
def ranking_map_fn(row: dict[str, Any]) -> Ranking:
    """Read `prompt`, a text or messages, and `answers`, a list of them, the best first.

    `ranks` (optional) are their places: answers of equal rank are equally good. `scores` (optional)
    say what each is worth; without ranks equal scores are equal ranks. `tools` (optional) are
    described in the prompt, `source` (optional) names where the row comes from. An answer that is
    empty is left out and counted.

    >>> ranking_map_fn({'prompt': 'Two and two?', 'answers': ['Four.', 'Five.', 'Six.'],
    ...     'ranks': [0, 1, 1], 'scores': [3.0, 0.5, 0.5], 'source': 'sums'})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'prompt': [{'role': 'user', 'content': 'Two and two?'}],
     'answers': [[{'role': 'assistant', 'content': 'Four.'}],
                 [{'role': 'assistant', 'content': 'Five.'}],
                 [{'role': 'assistant', 'content': 'Six.'}]],
     'ranks': [0, 1, 1], 'scores': [3.0, 0.5, 0.5], 'source': 'sums'}

    Raises:
        UnusableRow: an empty prompt, fewer than two answers, or all are equally good.
        DataError: a field is missing or of another form.
    """
    prompt = messages_or_text(field(row, "prompt"), name="prompt")
    messages = asked(prompt) if isinstance(prompt, str | None) else _messages(prompt, "prompt")
    answers = held_list(field(row, "answers"), name="answers", of="answers")
    made: Ranking = {
        "prompt": checked_messages(messages, of=" of the prompt"),
        "answers": [_answer(one, f"answers[{place}]") for place, one in enumerate(answers)],
    }
    for name in ("ranks", "scores"):
        if row.get(name) is not None:
            made[name] = held_list(row[name], name=name, of="numbers")
    if tools := tools_of(row.get("tools")):
        made["tools"] = tools
    require_judgement(made)
    return with_source(made, row.get("source"))


def asked(text: str | None) -> list[dict[str, str]]:
    """Return the messages of a single request.

    Raises:
        UnusableRow: it is empty.
    """
    if text is None or is_blank(text):
        raise UnusableRow("empty request")
    return [{"role": "user", "content": text}]


def _answer(value: Any, name: str) -> list[Message]:
    value = messages_or_text(value, name=name)
    if value is None or isinstance(value, str):
        return [{"role": "assistant", "content": value or ""}]  # an empty one is left out later
    messages = checked_messages(_messages(value, name), of=f" of {name}")
    if messages[-1]["role"] != "assistant":
        raise DataError(f"{name} must end with a message of the role assistant")
    return messages


def _messages(value: object, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise DataError(f"{name} must be a text or messages, not {describe(value)}")
    return value
