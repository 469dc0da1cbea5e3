"""Stanford's human preferences, each pair with its place among those of its post."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from xtune.data.map_fns.judgement import number_field
from xtune.data.sources.base import name_of_source
from xtune.data.sources.open_source import open_source
from xtune.errors import DataError
from xtune.registry import SOURCES

__all__ = ["ShpSource"]


@SOURCES.register_module("shp")
class ShpSource:
    """Rows of stanfordnlp/SHP in their order, each with `pair_of_post`.

    It is 0 for the row of a post whose `score_ratio` is the highest, 1 for the next one, and so on,
    so that the map_fn 'shp' can leave out what a post has too many of, and count it. Rows of a post
    follow each other in the files; where a post comes again its numbers go on.

    Args:
        path: of the rows, as a `data_path`.
        split: which part of the source, where it has parts.

    Raises:
        DataError: nothing is there under that name.
    """

    def __init__(
        self, path: str | Sequence[str] | Mapping[str, Any], *, split: str = "train"
    ) -> None:
        self._source = open_source(path, split=split)
        self.path = name_of_source(self._source)

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each row with its place.

        Raises:
            DataError: a row has no `post_id` or no number as `score_ratio`, or the data cannot be
                read.
        """
        seen: Counter[Any] = Counter()
        for post, group in groupby(self._source.rows(), key=lambda placed: _of(placed, "post_id")):
            rows = list(group)
            order = sorted(range(len(rows)), key=lambda n: -_ratio(rows[n]))
            places = {number: place for place, number in enumerate(order, start=seen[post])}
            seen[post] += len(rows)
            for number, (where, row) in enumerate(rows):
                yield where, {**row, "pair_of_post": places[number]}

    def fingerprint(self) -> str:
        """Return a hash of the rows."""
        return hashlib.sha256(f"shp: {self._source.fingerprint()}".encode()).hexdigest()


def _ratio(placed: tuple[str, dict[str, Any]]) -> float:
    _of(placed, "score_ratio")
    where, row = placed
    try:
        return number_field(row, "score_ratio")
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def _of(placed: tuple[str, dict[str, Any]], name: str) -> Any:
    where, row = placed
    if row.get(name) is None:
        raise DataError(
            f"{where}: there is no field {name!r}; fields seen: {', '.join(map(repr, row))}. The "
            "source 'shp' reads stanfordnlp/SHP"
        )
    return row[name]
