"""The examples that AGIEval's authors show: `few_shot_prompts.csv`, five an exam at most.

    ,lsat-ar,lsat-lr,...
    sample 1,"{'passage': ..., 'question': ..., 'options': [...], 'label': 'E', ...}",...
    (its explanation),...

A row of samples, then one of their explanations; an exam with fewer has empty cells. A sample is
written as Python writes a dictionary; it is read as a literal, and never executed.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from xtune.data.sources.readers import read_csv
from xtune.errors import UsageError
from xtune.eval.published import Published, damaged

__all__ = ["FILES", "Sample", "read_samples"]

FILES = ("few_shot_prompts.csv", "../few_shot_prompts.csv")  # next to the folder of the exams

Sample = tuple[str, Mapping[str, Any]]


def read_samples(published: Published, exam: str, count: int) -> list[Sample]:
    """Return the first examples of an exam, each with its place.

    Args:
        published: the benchmark's files.
        exam: the name of its column.
        count: how many are wanted.

    Raises:
        UsageError: the file is missing, or has not so many.
        DataError: a sample cannot be read.
    """
    found = published.files(*FILES)
    if not found:
        raise UsageError(
            f"agieval: shots={count} needs {FILES[0]} next to the exams' files: take it from "
            f"{published.source.removesuffix('/v1)')})"
        )
    samples = []
    for number, (where, row) in enumerate(read_csv(found[0])):
        cell = row.get(exam)
        if number % 2 or not cell:  # an explanation, or an exam that has fewer
            continue
        place = f"{published.place(where)}, {exam}"
        try:
            sample = ast.literal_eval(str(cell))
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            raise damaged(place, f"the sample is no dictionary as Python writes it: {error}") from (
                error
            )
        if not isinstance(sample, Mapping):
            raise damaged(place, "the sample is no dictionary")
        samples.append((place, sample))
    if len(samples) < count:
        raise UsageError(f"agieval: shots={count}, but {FILES[0]} has {len(samples)} of {exam}")
    return samples[:count]
