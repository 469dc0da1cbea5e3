"""What sources have in common whose rows are generated from a seed."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

from xtune.errors import DataError, did_you_mean

__all__ = ["GeneratedRows", "Split"]


class Split(NamedTuple):
    """Where a split lies in an endless series of rows.

    Attributes:
        words: what the series is made of.
        first: its first row's place in the series.
        most: how many rows it has.
        default: how many are taken if none are named.
    """

    words: Any
    first: int
    most: int
    default: int


class GeneratedRows:
    """A source of rows that `_series` makes; see `Source`.

    Args:
        split: one of `splits`.
        seed: another seed deals other rows from the same words.
        rows: only the first so many; default: the split's own.

    Raises:
        DataError: no such split, or more rows than it has.
    """

    name: ClassVar[str]
    splits: ClassVar[Mapping[str, Split]]

    def __init__(self, *, split: str, seed: int = 0, rows: int | None = None) -> None:
        if split not in self.splits:
            raise DataError(
                f"{self.name} has no split {split!r}{did_you_mean(split, self.splits) or ';'} "
                f"allowed: {', '.join(self.splits)}"
            )
        words, first, most, default = self.splits[split]
        if rows is not None and not 1 <= rows <= most:
            raise DataError(f"{self.name}'s split {split!r} has 1 to {most} rows, not rows={rows}")
        wanted = default if rows is None else rows
        self._rows = list(itertools.islice(self._series(words, seed), first, first + wanted))
        self.split = split

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each row with its place: 'toolcall[train] row 12'."""
        for number, row in enumerate(self._rows, start=1):
            yield f"{self.name}[{self.split}] row {number}", row

    def fingerprint(self) -> str:
        """Return a hash of the rows."""
        return hashlib.sha256(json.dumps(self._rows).encode()).hexdigest()

    def _series(self, words: Any, seed: int) -> Iterator[dict[str, Any]]:
        """Rows for ever."""
        raise NotImplementedError
