"""Files of example rows in the forms that a config's data have: to try it without its data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from xtune.data.formats import all_formats
from xtune.data.mixture import is_mixture
from xtune.errors import UsageError
from xtune.registry import SOURCES, names_alone

__all__ = ["write_examples"]


def write_examples(folder: Path, data_path: Any, map_fn: Any, *, rows: int = 8) -> Any:
    """Write the example row of a map_fn some times, and return the data_path that reads it.

    Data that are made here anyway stay what they are; of a mixture each source gets a file.

    Args:
        folder: where to; there already.
        data_path: a config's.
        map_fn: a config's.
        rows: of each file.

    Raises:
        UsageError: a map_fn of the user's own has no example.
    """
    if is_mixture(data_path):
        return [
            {
                **source,
                "data_path": write_examples(
                    folder, source["data_path"], source.get("map_fn", map_fn), rows=rows
                ),
            }
            for source in data_path
        ]
    if data_path in names_alone(SOURCES, "split"):
        return data_path
    if map_fn == "auto":  # which recognises any form that has a name of its own
        map_fn = "openai"
    if map_fn not in all_formats():
        raise UsageError(f"map_fn {map_fn!r} has no example row; name a file of yours: data_path=")
    file = folder / f"{map_fn}.jsonl"
    row = json.dumps(all_formats()[map_fn].row, ensure_ascii=False)
    file.write_text(f"{row}\n" * rows, encoding="utf-8")
    return str(file)
