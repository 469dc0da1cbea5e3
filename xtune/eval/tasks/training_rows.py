"""`TrainingRows`: rows as one trains on them, each of which a task makes an item of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from xtune.data.map_fns import UnusableRow, build_map_fn
from xtune.data.sources import open_source
from xtune.errors import DataError
from xtune.eval.tasks.base import Item

__all__ = ["TrainingRows"]


class TrainingRows:
    """Reads rows through a map_fn.

    Attributes:
        skipped: rows that could not be used, when they were last read.

    Args:
        data_path: where the rows are, as for a data set.
        split: which of the source's splits.
        map_fn: how a row is read.

    Raises:
        DataError: `data_path` names nothing.
    """

    def __init__(
        self,
        data_path: str | Sequence[str] | Mapping[str, Any],
        split: str,
        map_fn: str | Callable[..., Any] | Mapping[str, Any],
    ) -> None:
        self.skipped = 0
        self._source = open_source(data_path, split=split)
        self._map_fn = build_map_fn(map_fn)

    def items(self, item_of: Callable[[Any, dict[str, Any]], Item]) -> list[Item]:
        """Return an item of each row that can be used, with its number as id, and where it is.

        Args:
            item_of: makes it of what the map_fn returns and of the row; `UnusableRow` leaves a row
                out.

        Raises:
            DataError: there is no usable row, or one is wrong.
        """
        self.skipped = 0
        found = []
        for number, (where, row) in enumerate(self._source.rows()):
            try:
                item = item_of(self._map_fn(row), row)
            except UnusableRow:
                self.skipped += 1
                continue
            except DataError as error:
                raise DataError(f"{where}: {error}") from error
            found.append(replace(item, id=str(number), where=where))
        if not found:
            raise DataError(f"nothing to evaluate: {self.skipped} rows, none usable")
        return found
