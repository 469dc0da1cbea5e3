"""Lines of Python source that remember which file, or which option, they came from."""

from __future__ import annotations

import ast
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from xtune.errors import ConfigError

__all__ = ["Line", "Origin", "parse", "read_lines", "replace_node", "shown_path", "text_of"]


class Origin(NamedTuple):
    """Where a value was set: a file and its line, or an option of the command line (line 0)."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class Line(NamedTuple):
    """One line of a sheet, without its newline, and the place its text was written in."""

    text: str
    origin: Origin


def shown_path(path: Path) -> str:
    """Return `path` as a user would type it: relative where it lies below the working folder."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def read_lines(path: Path) -> list[Line]:
    """Read a config file.

    Raises:
        ConfigError: the file is missing, unreadable or not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{shown_path(path)} cannot be read: {error}") from error
    shown = shown_path(path)
    # Not splitlines(): it also breaks at characters that are no line ends to Python's parser.
    return [
        Line(line, Origin(shown, number))
        for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1)
    ]


def text_of(lines: Sequence[Line]) -> str:
    """Return the lines as one text that ends with a newline."""
    return "".join(line.text + "\n" for line in lines)


def parse(lines: Sequence[Line]) -> ast.Module:
    """Parse a sheet.

    Raises:
        ConfigError: it is not Python; names the file and line where the broken line was written.
    """
    try:
        return ast.parse(text_of(lines))
    except (SyntaxError, ValueError) as error:  # ValueError: a null byte
        number = getattr(error, "lineno", None) or 1
        line = lines[min(number, len(lines)) - 1]
        what = getattr(error, "msg", str(error))
        raise ConfigError(f"{line.origin}: not valid Python: {what}: {line.text.strip()}") from None


def replace_node(
    lines: Sequence[Line], node: ast.expr, text: str, origin: Origin | None = None
) -> list[Line]:
    """Return `lines` with the source of `node` replaced by the single-line `text`.

    Args:
        lines: the sheet that `node` was parsed from.
        node: an expression; may reach over several lines, which become one.
        text: the new expression.
        origin: where the resulting line shall be said to come from; default: unchanged.
    """
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    first, last = node.lineno - 1, node.end_lineno - 1
    # ast counts columns in UTF-8 bytes
    head = lines[first].text.encode()[: node.col_offset].decode()
    tail = lines[last].text.encode()[node.end_col_offset :].decode()
    new = Line(head + text + tail, origin or lines[first].origin)
    return [*lines[:first], new, *lines[last + 1 :]]
