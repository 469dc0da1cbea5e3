"""Files in the published forms, written by the tests, and answers to what tasks ask."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from xtune.eval.tasks.base import Choices, Item, Likelihood, Likelihoods, Prompt, Task

__all__ = ["answered", "asked", "continuations", "lines", "one_text", "write"]


def write(path: Path, text: str) -> Path:
    """Write a text, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write rows as JSON lines."""
    return write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def asked(task: Task, item: Item) -> Choices:
    """What a task asks in the completion form."""
    ask = task.ask(item, "completion")
    assert isinstance(ask, Choices)
    return ask


def continuations(task: Task, item: Item) -> list[str]:
    """The candidates' continuations with the delimiter before them, as they are scored."""
    return [one.prompt.delimiter + one.continuation for one in asked(task, item).candidates]


def one_text(prompt: Prompt) -> str:
    """A prompt in the completion form, written out by hand."""
    text = prompt.description
    for shot in prompt.shots:
        text += shot.question + prompt.delimiter + shot.answer + prompt.between
    return text + prompt.question


def answered(log_probs: Sequence[float], tokens: int = 1) -> Likelihoods:
    """What a model with these log-probabilities answers."""
    return Likelihoods(tuple(Likelihood(value, False, tokens) for value in log_probs))
