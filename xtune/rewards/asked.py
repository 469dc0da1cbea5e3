"""What rewards ask of the rows of prompts, and how they say that it is not there."""

from __future__ import annotations

from collections.abc import Sequence

from xtune.data.prompts import PromptRow
from xtune.errors import DataError

__all__ = ["require_column", "require_expected"]


def require_expected(name: str, prompts: Sequence[PromptRow]) -> None:
    """Refuse prompts whose rows have no answer.

    Args:
        name: of the reward.
        prompts: all of a data set.

    Raises:
        DataError: one has none.
    """
    without = [prompt for prompt in prompts if prompt.expected is None]
    if without:
        raise DataError(
            f"reward {name!r} compares with the answer of the data, and {len(without)} of "
            f"{len(prompts)} rows have none, the first is {without[0].where}: name a map_fn that "
            "makes dialogues that end with an answer, or another reward"
        )


def require_column(name: str, column: str, prompts: Sequence[PromptRow]) -> None:
    """Refuse prompts whose rows lack a column.

    Args:
        name: of the reward.
        column: of the raw rows.
        prompts: all of a data set.

    Raises:
        DataError: one lacks it; says which columns it has.
    """
    without = [prompt for prompt in prompts if prompt.row.get(column) is None]
    if without:
        raise DataError(
            f"reward {name!r} reads the column {column!r}, which {len(without)} of {len(prompts)} "
            f"rows lack; {without[0].where} has {', '.join(map(repr, without[0].row))}"
        )
