"""COIG, the Chinese Open Instruction Generalist, and its successors: BAAI, m-a-p."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

from xtune.data.map_fns.base import is_blank, text_field
from xtune.data.map_fns.dialogue import dialogue
from xtune.data.map_fns.literal import held
from xtune.data.map_fns.pair import exchanges, pair
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["coig_map_fn"]


@MAP_FNS.register_module("coig")
def coig_map_fn(row: dict[str, Any]) -> Conversation:
    r"""Read `instruction` and `conversations` of {question, answer}; or Alpaca's three fields.

    The instruction, which may be empty or absent, stands before the first question. COIG-CQIA and
    COIG-PC have `instruction`, `input` and `output` instead, and are read as `alpaca` reads them.
    The hub's library gives the turns as {question: [...], answer: [...]}, which is read as well.

    >>> coig_map_fn({'instruction': '判断对错。', 'conversations': [
    ...     {'question': '鲸是鱼。', 'answer': '错。'},
    ...     {'question': '为什么？', 'answer': '它是哺乳动物。'}]})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'messages': [{'role': 'user', 'content': '判断对错。\n鲸是鱼。'},
                  {'role': 'assistant', 'content': '错。'},
                  {'role': 'user', 'content': '为什么？'},
                  {'role': 'assistant', 'content': '它是哺乳动物。'}]}

    Raises:
        UnusableRow: an empty request or answer, or nothing to train on.
        DataError: a field is missing, or a turn is not of this form.
    """
    if "conversations" not in row:
        return pair(row, asked=("instruction", "input"), answer="output")
    turns = _listed(held(row["conversations"], name="conversations"))
    messages = exchanges(turns, of="conversations", asked="question", answer="answer")
    task = text_field(row, "instruction") if "instruction" in row else ""
    if messages and not is_blank(task):
        first = messages[0]["content"]
        messages[0]["content"] = task if is_blank(first) else f"{task}\n{first}"
    return dialogue(messages)


def _listed(turns: object) -> object:
    """A list of turns from {question: [...], answer: [...]}, which Arrow's tables make of it."""
    if not isinstance(turns, Mapping):
        return turns
    questions, answers = turns.get("question"), turns.get("answer")
    if not isinstance(questions, list) or not isinstance(answers, list):
        return turns
    pairs = zip_longest(questions, answers)  # one without its other half is unusable
    return [{"question": question, "answer": answer} for question, answer in pairs]
