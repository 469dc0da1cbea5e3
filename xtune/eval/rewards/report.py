"""Scored answers as files: results.json, scores.jsonl, scores.png and report.html."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from xtune import __version__
from xtune.eval.rewards.measures import measured
from xtune.eval.rewards.page import render_page
from xtune.eval.rewards.picture import draw_scores
from xtune.eval.rewards.scored import ScoredAnswer, pairs_of_answers

__all__ = ["write_scores"]

_FORMAT_VERSION = 1


def write_scores(
    folder: Path, answers: Sequence[ScoredAnswer], about: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Path]]:
    """Write all files; return what results.json says, and the files' paths.

    Args:
        folder: made if it is missing.
        answers: with their scores; those of one row follow each other.
        about: what made them: `model`, `data`, `kind` ('reward', 'cost', 'implicit reward'),
            `reading`, `shift`, and settings.
    """
    is_cost = about["kind"] == "cost"
    values = {
        "format_version": _FORMAT_VERSION,
        "date": f"{datetime.now():%Y-%m-%d %H:%M}",
        "xtune": __version__,
        **about,
        **measured(answers, is_cost=is_cost),
    }
    folder.mkdir(parents=True, exist_ok=True)
    names = ("results.json", "scores.jsonl", "scores.png", "report.html")
    results, scores, picture, page = paths = [folder / name for name in names]
    results.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    lines = [json.dumps(asdict(answer), ensure_ascii=False) for answer in answers]
    _write(scores, "\n".join(lines) + "\n")
    draw_scores(picture, answers, values)
    pairs = list(pairs_of_answers(answers, is_cost=is_cost))
    _write(page, render_page(values, answers, pairs, picture.read_bytes()))
    return values, paths


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="backslashreplace")  # lone surrogates
