"""`PartFile`: a .jsonl that is written row by row, may be interrupted, and is gone on with.

out.jsonl.part    a line that says what is asked and how, then what is known of each row
out.jsonl         at the end: whole, in the order of the rows
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from xtune.errors import UsageError

__all__ = ["PartFile", "lines_of"]


class PartFile:
    """What is known of the rows of a file that is being written.

    Attributes:
        there: what is known, by the number of the row.

    Args:
        out: the whole file.
        asked: JSON values that say what is asked, and how.

    Raises:
        UsageError: what is there belongs to something else.
    """

    def __init__(self, out: Path, asked: Mapping[str, Any]) -> None:
        self._out = out
        self._part = out.with_name(f"{out.name}.part")
        self._asked = dict(asked)
        self.there = self._read()

    def __enter__(self) -> Self:
        self._file = self._part.open("a", encoding="utf-8")
        if not self._file.tell():
            self._file.write(json.dumps(self._asked) + "\n")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def keep(self, row: int, known: Mapping[str, Any]) -> None:
        """Note what is known of a row; it is on the disk when this returns.

        Args:
            row: its number.
            known: JSON values.
        """
        self.there[row] = dict(known)
        self._file.write(json.dumps({"row": row, **known}, ensure_ascii=False) + "\n")
        self._file.flush()

    def finish(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Put the whole file in its place.

        Args:
            lines: of it.
        """
        whole = self._out.with_name(f"{self._out.name}.tmp")
        with whole.open("w", encoding="utf-8") as file:
            for line in lines:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        whole.replace(self._out)
        self._part.unlink()

    def _read(self) -> dict[int, dict[str, Any]]:
        """A last line that was cut by a crash is cut off."""
        if not self._part.is_file():
            return {}
        whole, _, cut = self._part.read_text(encoding="utf-8").rpartition("\n")
        lines = lines_of(whole)
        if cut:
            self._part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        if not lines:
            return {}
        if json.loads(lines[0]) != self._asked:
            raise UsageError(
                f"{self._part} has answers to other prompts, by another model or with other "
                f"settings; go on with those, or delete it: rm {self._part}"
            )
        there = {}
        for line in lines[1:]:
            known = json.loads(line)
            there[known.pop("row")] = known
        return there


def lines_of(text: str) -> list[str]:
    """Part a text into lines.

    Not `splitlines`: it also breaks at U+2028 and others, which JSON has within strings.

    Args:
        text: with or without a newline at its end.
    """
    return text.removesuffix("\n").split("\n") if text else []
