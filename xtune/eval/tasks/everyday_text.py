"""Plain English that comes with xtune, to see what a tuning has cost: bits per byte of seven texts.

Form: completion. Shots: none. Scoring: perplexity; see perplexity.py. Each text is a paragraph of
some hundred words, so that a before and an after can be compared in pairs. Nothing else that xtune
ships or makes has a sentence of it.

Source: everyday_text.jsonl, written for xtune; CC0 1.0, anybody may do anything with it.
"""

from __future__ import annotations

from importlib.resources import files

from xtune.eval.tasks.perplexity import Perplexity
from xtune.registry import EVALUATIONS

__all__ = ["EverydayText"]


@EVALUATIONS.register_module()
class EverydayText(Perplexity):
    """The texts; see the module."""

    name = "everyday_text"

    def __init__(self) -> None:
        super().__init__(data_path=str(files("xtune.eval.tasks").joinpath("everyday_text.jsonl")))
