"""Scores of single answers by a judge, for tasks that nothing else can score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xtune.eval.judge.answers import Item
from xtune.eval.judge.ask import ask_missing
from xtune.eval.judge.base import Judge
from xtune.eval.judge.prompts import load_prompts
from xtune.eval.judge.requests import request_for
from xtune.eval.judge.verdict_store import VerdictStore

__all__ = ["judge_single"]


def judge_single(
    items: Sequence[Item],
    judge: Judge,
    *,
    verdicts: Path,
    model: str = "model",
    prompts: str | None = None,
    max_calls: int | None = None,
) -> list[float | None]:
    """Return each answer's score from 1 to 10, None where the judge gives none in form.

        judge = open_judge(url, served_model="", max_new_tokens=1024, concurrency=8)
        items = [Item(row.id, (row.question,), (row.got,)) for row in rows]
        scores = judge_single(items, judge, verdicts=folder / "verdicts.jsonl")

    Args:
        items: questions and answers.
        judge: who is asked.
        verdicts: the file that keeps every answer of the judge; what it knows is not asked again.
        model: whose answers they are, for the record.
        prompts: a user's file of prompts; None for ours.
        max_calls: of the judge; None for as many as it takes.

    Raises:
        UsageError: more calls than `max_calls` are needed, or the prompts ask for no rating.
        ModelError: the judge cannot be asked, or never answers in form.
        DataError: `verdicts` or `prompts` is damaged.
    """
    chosen = load_prompts(prompts, "rating", 1)
    requests = [request_for(chosen, (model,), (item,)) for item in items]
    store = VerdictStore(verdicts)
    ask_missing(requests, judge, store, max_calls=max_calls)
    found = [store.verdict(each.key(judge.identity), each.prompt.form) for each in requests]
    return [None if verdict is None else verdict.scores[0] for verdict in found]
