"""`Judged`: an answer with what the data say of it, of a pair, of a ranking, or of one alone.

    row                                    answers       numbers of each (vectors.py)
    {prompt, chosen, rejected, margin: 2}  chosen        score 2
                                           rejected      score 0
    {prompt, answers: [a, b, c],           a             rank 0
             ranks: [0, 1, 1]}             b             rank 1
                                           c             rank 1

Read as judged alone, an answer is good if it is better than more of the others than are better
than it, and bad if it is the other way round:

    {prompt, chosen, rejected}             chosen        desirable 1
                                           rejected      desirable 0
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from xtune.data.map_fns.base import UnusableRow, is_blank
from xtune.data.map_fns.judgement import TIE
from xtune.structures import Conversation, Message

__all__ = [
    "EMPTY",
    "NEITHER",
    "VECTOR_FIELDS",
    "Judged",
    "answers_of",
    "judged_alone",
    "judged_together",
]

VECTOR_FIELDS = {"score": "margin` or `scores", "safe": "safe"}  # of a row, by their vector
EMPTY = "empty answer"
NEITHER = "neither better nor worse than the other answers"


class Judged(NamedTuple):
    """A dialogue whose last answer was judged.

    Attributes:
        conversation: prompt and answer; the answer alone is trained.
        numbers: vectors of its document, by name.
        text: of the answer.
    """

    conversation: Conversation
    numbers: Mapping[str, float]
    text: str


def answers_of(made: Mapping[str, Any]) -> list[list[Message]]:
    """Return the answers of a Preference, a Ranking or an UnpairedPreference, the best first."""
    if "chosen" in made:
        return [made["chosen"], made["rejected"]]
    return made["answers"] if "answers" in made else [made["completion"]]


def judged_together(made: Mapping[str, Any]) -> tuple[list[Judged], list[str]]:
    """Return the answers of a pair or a ranking, and why some were left out.

    >>> pair = {'prompt': [{'role': 'user', 'content': '2?'}], 'margin': 2.0,
    ...         'chosen': [{'role': 'assistant', 'content': 'Two.'}],
    ...         'rejected': [{'role': 'assistant', 'content': 'Three.'}]}
    >>> [(one.text, one.numbers) for one in judged_together(pair)[0]]
    [('Two.', {'score': 2.0}), ('Three.', {'score': 0.0})]

    Args:
        made: a Preference or a Ranking.

    Raises:
        UnusableRow: of the answers that hold something none is better than another.
    """
    answers = answers_of(made)
    kept = [number for number, answer in enumerate(answers) if not _is_empty(answer)]
    places = _places(made)
    if len({places[number] for number in kept}) < 2:
        raise UnusableRow(EMPTY if len(kept) < 2 else TIE)
    numbers = _numbers(made)
    judged = [_judged(made, answers[number], numbers[number]) for number in kept]
    return judged, [EMPTY] * (len(answers) - len(kept))


def judged_alone(made: Mapping[str, Any]) -> tuple[list[Judged], list[str]]:
    """Return each answer as good or bad, and why some were left out.

    >>> made = {'prompt': [{'role': 'user', 'content': '2?'}],
    ...         'answers': [[{'role': 'assistant', 'content': text}] for text in ('2', 'two', '3')]}
    >>> judged, left_out = judged_alone(made)
    >>> [(one.text, one.numbers) for one in judged], left_out
    ([('2', {'desirable': 1}), ('3', {'desirable': 0})], \
['neither better nor worse than the other answers'])

    Args:
        made: a Preference, a Ranking or an UnpairedPreference.

    Raises:
        UnusableRow: no answer is good or bad.
    """
    answers = answers_of(made)
    if "completion" in made:
        won = [1 if made["label"] else -1]
    elif made.get("soft_label", 1) == 0.5:
        raise UnusableRow(TIE)
    else:
        places = _places(made)
        won = [sum((p > own) - (p < own) for p in places) for own in places]
    judged, left_out = [], []
    for answer, more in zip(answers, won, strict=True):
        if _is_empty(answer):
            left_out.append(EMPTY)
        elif not more:
            left_out.append(NEITHER)
        else:
            judged.append(_judged(made, answer, {"desirable": int(more > 0)}))
    if not judged:
        tied = not any(won)
        raise UnusableRow(TIE if tied else EMPTY)
    return judged, left_out


def _judged(
    made: Mapping[str, Any], answer: Sequence[Message], numbers: Mapping[str, float]
) -> Judged:
    asked: list[Message] = [
        cast(Message, {**message, "loss": False}) if message["role"] == "assistant" else message
        for message in made["prompt"]
    ]
    conversation: Conversation = {"messages": [*asked, *answer]}
    if "tools" in made:
        conversation["tools"] = made["tools"]
    text = "\n".join(message.get("content") or "" for message in answer)
    return Judged(conversation, numbers, text)


def _places(made: Mapping[str, Any]) -> list[int]:
    """The place of each answer, 0 the best; of equal scores the same one."""
    if "ranks" in made:
        return list(made["ranks"])
    if "scores" in made:
        worths = sorted(set(made["scores"]), reverse=True)
        return [worths.index(score) for score in made["scores"]]
    return list(range(len(answers_of(made))))


def _numbers(made: Mapping[str, Any]) -> list[dict[str, float]]:
    """The vectors of each answer of a pair or a ranking: none that say nothing."""
    count = len(answers_of(made))
    columns: dict[str, Sequence[float]] = {}
    if "margin" in made:
        columns["score"] = [made["margin"], 0.0]
    if "soft_label" in made:
        columns["soft_label"] = [made["soft_label"]] * count
    if "safe" in made:
        columns["safe"] = [1 if safe else -1 for safe in made["safe"]]
    if "scores" in made:
        columns["score"] = made["scores"]
    if (places := _places(made)) != list(range(count)):
        columns["rank"] = places
    return [{name: values[n] for name, values in columns.items()} for n in range(count)]


def _is_empty(answer: Sequence[Message]) -> bool:
    return all(is_blank(m.get("content") or "") and not m.get("tool_calls") for m in answer)
