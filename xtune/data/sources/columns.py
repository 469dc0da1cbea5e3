"""Rows out of Arrow's columns, as a JSON file would have them.

Arrow gives all structs of a column the same keys, and fills those that a row lacks with null:

    written   {"city": "Oslo"}                     {"a": 2, "b": 5}
    in Arrow  {"city": "Oslo", "a": null, …}       {"city": null, "a": 2, "b": 5}

Which nulls an author wrote cannot be told there any more, so inside a column every key that is null
is left out. Nulls in lists and in maps are the author's and stay; so do those of whole columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyarrow import DataType, RecordBatch

__all__ = ["Struct", "rows_of_batch"]

_Clean = Callable[[Any], Any]


class Struct(dict[str, Any]):
    """A struct without its nulls; asked for a key of its column that is null, it gives None.

    So `'name' in message` is what it is for rows of JSON, and `message['name']` is no KeyError.
    """

    __slots__ = ("columns",)
    columns: frozenset[str]

    def __missing__(self, key: str) -> None:
        if key not in getattr(self, "columns", ()):
            raise KeyError(key)


def rows_of_batch(batch: RecordBatch) -> Iterator[dict[str, Any]]:
    """Yield a batch's rows; one that may hold structs is a `Struct` itself."""
    found = ((field.name, _cleaner(field.type)) for field in batch.schema)
    cleaners = {name: clean for name, clean in found if clean is not None}
    if not cleaners:
        yield from batch.to_pylist()
        return
    for row in _castable(batch).to_pylist():
        for name, clean in cleaners.items():
            if row[name] is not None:
                row[name] = clean(row[name])
        yield Struct(row)


def _castable(batch: RecordBatch) -> RecordBatch:
    """Nanoseconds as microseconds: Python's dates have no more."""
    import pyarrow as pa

    columns = []
    for column in batch.columns:
        if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
            column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _cleaner(kind: DataType) -> _Clean | None:
    """What makes a value of this type one of JSON; None where it is one already."""
    import pyarrow as pa

    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return _cleaner(kind.storage_type)
    if types.is_dictionary(kind):
        return _cleaner(kind.value_type)
    if types.is_struct(kind):
        return _of_struct(kind)
    if types.is_map(kind):
        inner = _cleaner(kind.item_type) or _same
        return lambda pairs: {str(key): None if one is None else inner(one) for key, one in pairs}
    if types.is_nested(kind) and hasattr(kind, "value_type"):
        inner_or_none = _cleaner(kind.value_type)
        if inner_or_none is None:
            return None
        within = inner_or_none
        return lambda values: [None if one is None else within(one) for one in values]
    if types.is_floating(kind):
        return _number
    if types.is_decimal(kind):
        return lambda number: int(number) if number == int(number) else float(number)
    if types.is_timestamp(kind) or types.is_date(kind) or types.is_time(kind):
        return lambda time: time.isoformat()
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return _text
    return None


def _of_struct(kind: Any) -> _Clean:
    cleaners = {field.name: _cleaner(field.type) or _same for field in kind}
    columns = frozenset(cleaners)

    def clean(values: dict[str, Any]) -> Struct:
        made = Struct(
            (name, cleaners[name](value)) for name, value in values.items() if value is not None
        )
        made.columns = columns
        return made

    return clean


def _same(value: Any) -> Any:
    return value


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _text(value: bytes) -> bytes | str:
    """Text that was stored without saying so; other bytes, as of images, as they are."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
