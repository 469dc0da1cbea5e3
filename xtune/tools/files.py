"""`files`: look into one folder of the user's, read only: list, read, find."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from xtune.tools.base import Tool, ToolError, tool
from xtune.tools.schema import spec_of

__all__ = ["Files"]

_SECONDS = 10.0
_MOST_ENTRIES = 200
_MOST_BYTES = 2_000_000  # read of a file
_MOST_LINES = 200


@tool(name="files")
class Files:
    """Three tools over one folder; nothing above it can be named, nor reached by a link.

    Args:
        root: the folder.

    Raises:
        ToolError: there is no such folder.
    """

    def __init__(self, *, root: str) -> None:
        self._root = Path(root).expanduser().resolve()
        if not self._root.is_dir():
            raise ToolError(f"there is no folder {str(self._root)!r}")

    def tools(self) -> list[Tool]:
        """Return list_files, read_file and find_in_files."""
        functions = (self.list_files, self.read_file, self.find_in_files)
        return [
            Tool(spec_of(each, name=each.__name__, seconds=_SECONDS), each) for each in functions
        ]

    def list_files(self, folder: str = ".") -> str:
        """List the files and folders in a folder.

        Args:
            folder: its path from the root.
        """
        path = self._inside(folder)
        if not path.is_dir():
            raise ToolError(f"{folder!r} is no folder")
        lines = []
        for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                lines.append(f"{entry.name}/")
            elif entry.is_file(follow_symlinks=False):
                lines.append(f"{entry.name} ({entry.stat(follow_symlinks=False).st_size} bytes)")
            else:
                lines.append(f"{entry.name} (a link or a special file)")
        left = len(lines) - _MOST_ENTRIES
        more = [f"[{left} more]"] if left > 0 else []
        return "\n".join(lines[:_MOST_ENTRIES] + more) or "the folder is empty"

    def read_file(self, path: str, start: int = 1, lines: int = _MOST_LINES) -> str:
        """Read a text file.

        Args:
            path: from the root.
            start: the first line to read.
            lines: how many lines.
        """
        text = self._text(self._inside(path)).splitlines()
        if start > max(1, len(text)):
            raise ToolError(f"{path!r} has {len(text)} lines; line {start} is behind its end")
        begin = max(1, start) - 1
        piece = text[begin : begin + min(max(1, lines), _MOST_LINES)]
        left = len(text) - begin - len(piece)
        more = [f"[{left} more lines: start={begin + len(piece) + 1}]"] if left else []
        return "\n".join(piece + more) or "the file is empty"

    def find_in_files(self, text: str, folder: str = ".") -> str:
        """Find the lines that contain a text, in all files of a folder and below.

        Args:
            text: what to find; capitals do not matter.
            folder: its path from the root.
        """
        if not text.strip():
            raise ToolError("the text to find is empty")
        found = []
        for path in self._below(self._inside(folder)):
            try:
                read = self._text(path)
            except (OSError, ToolError):
                continue
            for number, line in enumerate(read.splitlines(), start=1):
                if text.lower() in line.lower():
                    where = path.relative_to(self._root)
                    found.append(f"{where}:{number}: {line.strip()[:200]}")
                    if len(found) >= _MOST_ENTRIES:
                        return "\n".join([*found, "[there may be more]"])
        return "\n".join(found) or f"{text!r} is in no file"

    def _inside(self, given: str) -> Path:
        try:
            path = _real(self._root / given)
        except (OSError, ValueError) as error:
            raise ToolError(f"{given[:100]!r} is no path: {error}") from None
        if not path.is_relative_to(self._root):
            raise ToolError(f"{given[:100]!r} leads out of the folder that may be read")
        if not os.path.lexists(path):
            raise ToolError(f"there is no {given[:100]!r}; list_files shows what there is")
        return path

    def _below(self, folder: Path) -> Iterator[Path]:
        for parent, below, names in os.walk(folder):  # does not follow links
            below.sort()
            for name in sorted(names):
                if not os.path.islink(path := Path(parent, name)):
                    yield path

    def _text(self, path: Path) -> str:
        # A pipe or a device would never end, or block: not even opened for long
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(opened, "rb") as file:
            if not stat.S_ISREG(os.fstat(opened).st_mode):
                raise ToolError(f"{path.name!r} is no file that can be read")
            content = file.read(_MOST_BYTES)
        if b"\0" in content[:4096]:
            raise ToolError(f"{path.name!r} is no text file")
        return content.decode("utf-8", errors="replace")


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # of a link that leads to itself, `resolve` fails
