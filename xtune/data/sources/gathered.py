"""Rows that follow each other and share a field, as one row: HelpSteer2's two of a prompt."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from xtune.data.sources.base import name_of_source
from xtune.data.sources.open_source import open_source
from xtune.errors import DataError
from xtune.registry import SOURCES

__all__ = ["GatheredSource"]


@SOURCES.register_module("gathered")
class GatheredSource:
    """One row for each run of rows with the same field `by`: that, and `gathered`, the rows.

        1  {"prompt": "2?", "response": "Two."}
        2  {"prompt": "2?", "response": "Three."}    ->  {"prompt": "2?", "gathered": [1, 2]}
        3  {"prompt": "3?", "response": "Three."}    ->  {"prompt": "3?", "gathered": [3]}

    Args:
        path: of the rows, as a `data_path`, but no mixture.
        by: the field.
        split: which part of the source, where it has parts.

    Raises:
        DataError: nothing is there under that name.
    """

    def __init__(
        self,
        path: str | Sequence[str] | Mapping[str, Any],
        *,
        by: str,
        split: str = "train",
    ) -> None:
        self._source = open_source(path, split=split)
        self._by = by
        self.path = name_of_source(self._source)

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each gathered row with the place of its first.

        Raises:
            DataError: a row has no such field, or the data cannot be read.
        """
        for value, group in groupby(self._source.rows(), key=self._value):
            rows = list(group)
            yield rows[0][0], {self._by: value, "gathered": [row for _, row in rows]}

    def fingerprint(self) -> str:
        """Return a hash of the rows and of what they are gathered by."""
        told = f"gathered by {self._by}: {self._source.fingerprint()}"
        return hashlib.sha256(told.encode()).hexdigest()

    def _value(self, placed: tuple[str, dict[str, Any]]) -> Any:
        where, row = placed
        if self._by not in row:
            raise DataError(
                f"{where}: there is no field {self._by!r} to gather rows by; fields seen: "
                f"{', '.join(map(repr, row)) or 'none'}"
            )
        return row[self._by]
