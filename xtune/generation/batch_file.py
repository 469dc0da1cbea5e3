"""A file of prompts and a file of answers, which may be interrupted and gone on with.

    prompts.jsonl    {"prompt": "Who are you?", "id": 7}
    answers.jsonl    {"prompt": "Who are you?", "id": 7, "answer": "A parrot.", "ended_by": "stop"}

While answers are written they stand in `answers.jsonl.part`; see part_file.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from xtune.errors import DataError, UsageError
from xtune.generation.part_file import PartFile, lines_of
from xtune.generation.pipeline import Pipeline
from xtune.generation.reply import Reply
from xtune.structures import Message

__all__ = ["answer_file", "read_prompts"]


def read_prompts(file: Path) -> list[dict[str, Any]]:
    """Read rows with `messages` or `prompt`; of a file that is no .jsonl, each line is a prompt.

    Raises:
        UsageError: there is no such file, or it has no prompts.
        DataError: a row has neither.
    """
    try:
        lines = lines_of(file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{file} cannot be read: {why}") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        row = _row(line, f"{file}:{number}") if file.suffix == ".jsonl" else {"prompt": line}
        rows.append(row)
    if not rows:
        raise UsageError(f"{file} has no prompts")
    return rows


def answer_file(
    answer: Pipeline,
    rows: list[dict[str, Any]],
    out: Path,
    *,
    seed: int,
    batch_size: int,
    settings: Mapping[str, Any],
    on_progress: Callable[[int, int], None],
) -> int:
    """Answer all rows that have no answer yet.

    Args:
        answer: by which model.
        rows: as `read_prompts` returns them.
        out: to be written, at the end.
        seed: of the first row; that of the next is one more.
        batch_size: answers written at once.
        settings: fields of GenerationSettings.
        on_progress: given how many answers there are, and how many there will be.

    Returns:
        How many answers were there already.

    Raises:
        UsageError: what is there belongs to other prompts or settings.
    """
    asked = {"rows": len(rows), "asked": _digest(rows, seed, settings, answer.model.name)}
    part = PartFile(out, asked)
    left = [at for at in range(len(rows)) if at not in part.there]
    before = len(part.there)
    with part:

        def keep(index: int, reply: Reply) -> None:
            part.keep(left[index], _answered(reply))
            on_progress(len(part.there), len(rows))

        on_progress(before, len(rows))
        if left:
            answer(
                [_prompt(rows[at]) for at in left],
                batch_size=batch_size,
                on_reply=keep,
                seeds=[(seed + at) % 2**63 for at in left],
                **settings,
            )
    part.finish({**row, **part.there[at]} for at, row in enumerate(rows))
    return before


def _row(line: str, place: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{place} is no JSON: {error}") from None
    if not isinstance(row, dict) or not ("messages" in row or isinstance(row.get("prompt"), str)):
        raise DataError(f'{place} needs "messages", a dialogue, or "prompt", a text')
    return row


def _prompt(row: Mapping[str, Any]) -> str | list[Message]:
    return row["messages"] if "messages" in row else row["prompt"]


def _answered(reply: Reply) -> dict[str, Any]:
    return {"answer": reply.text, "ended_by": reply.ended_by}


def _digest(rows: list[dict[str, Any]], seed: int, settings: Mapping[str, Any], model: str) -> str:
    said = json.dumps([rows, seed, dict(settings), model], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:16]
