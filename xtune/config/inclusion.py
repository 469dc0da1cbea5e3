"""Put a leaf and the parts it includes together into one flat sheet.

    leaf                               sheet
    with read_base():                  # PART 1 Settings      the part's text, pasted once,
        from .settings import *        lr = 1e-3  # peak      `lr` replaced where it stood
        from .schedule import *        # PART 4 Schedule
    lr = 1e-3                          optimizer = dict(type='AdamW', lr=lr)

So what a part derives from a knob follows the knob, which Python's own order of assignments,
and MMEngine's inheritance, would not do.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xtune.config.literals import is_set
from xtune.config.source import Line, parse, read_lines, shown_path
from xtune.config.statements import Include, Statement, cut, docstring_lines, includes_others
from xtune.errors import ConfigError

__all__ = ["flatten"]


def flatten(path: Path) -> tuple[list[Line], dict[str, list[Statement]]]:
    """Return the flat sheet of the config at `path`.

    Returns:
        The lines of the sheet, and for each name the statements that were replaced, oldest first.
        A file that includes nothing is returned as it is.

    Raises:
        ConfigError: a file is not Python, holds more than assignments, or parts go in circles.
    """
    lines = read_lines(path)
    tree = parse(lines)
    if not tree.body:
        raise ConfigError(
            f"{shown_path(path)} is empty; xtune copy-cfg custom_sft_lora writes a config to edit"
        )
    old_style = is_set(tree, "_base_")
    if old_style is not None:
        raise ConfigError(
            f"{lines[old_style.lineno - 1].origin}: MMEngine's _base_ is not followed; "
            "write `with read_base():` and `from .file import *` under it"
        )
    if not includes_others(tree):
        return lines, {}
    sheet = _Sheet()
    sheet.paste(path, ())
    history = {item.name: item.replaced for item in sheet.statements if item.replaced}
    body = _lines_of(sheet.statements)
    docstring = docstring_lines(tree, lines)
    if docstring:
        docstring.append(Line("", docstring[-1].origin))
    return [*docstring, *body], history


class _Sheet:
    """The statements pasted so far."""

    def __init__(self) -> None:
        self.statements: list[Statement] = []
        self.pasted: set[Path] = set()

    def paste(self, path: Path, above: Sequence[Path]) -> None:
        """Add the file's statements and, before them, those of the files it includes."""
        if path in above:
            circle = " -> ".join(map(shown_path, [*above[above.index(path) :], path]))
            raise ConfigError(f"configs include each other in a circle: {circle}")
        if path in self.pasted:
            return
        self.pasted.add(path)
        lines = read_lines(path)
        for item in cut(path, parse(lines), lines):
            if isinstance(item, Include):
                self.paste(item.path, [*above, path])
            else:
                self.set(item)

    def set(self, new: Statement) -> None:
        """Replace the statement of the same name in its place, or add one at the end."""
        at = self.index(new.name)
        if at is None:
            self.statements.append(new)
            return
        old = self.statements[at]
        if new.name in new.needs:
            raise ConfigError(
                f"{new.origin}: {new.name!r} is set from itself, and takes the place of "
                f"{old.origin}: write the value"
            )
        self.statements[at] = _in_place_of(old, new)
        self.hoist_needs(new.name, ())

    def hoist_needs(self, name: str, above: Sequence[str]) -> None:
        """Move what the statement of `name` reads, and what is set only after it, before it."""
        if name in above:
            circle = " -> ".join([*above[above.index(name) :], name])
            raise ConfigError(f"{self.origin_of(name)}: set from each other: {circle}")
        for needed in sorted(self.statements[self.index(name) or 0].needs):
            at, needed_at = self.index(name), self.index(needed)
            if at is not None and needed_at is not None and needed_at > at:
                moved, reader = self.statements.pop(needed_at), self.statements[at]
                _put_above(moved, reader)
                self.statements.insert(at, moved)
                self.hoist_needs(needed, [*above, name])

    def index(self, name: str) -> int | None:
        """Where `name` is set, or None."""
        for number, statement in enumerate(self.statements):
            if name and statement.name == name:
                return number
        return None

    def origin_of(self, name: str) -> str:
        """File and line of the statement of `name`."""
        return str(self.statements[self.index(name) or 0].origin)


def _in_place_of(old: Statement, new: Statement) -> Statement:
    """Return `new` with the comments of `old` where it has none of its own."""
    own = [line for line in new.lead if line.text.strip()]
    lead = [line for line in old.lead if _is_spacing(line)] + own if own else old.lead
    code, comment = new.code, new.comment
    if old.comment and not comment:
        code = [*code[:-1], Line(f"{code[-1].text.rstrip()}  {old.comment}", code[-1].origin)]
        comment = old.comment
    return Statement(new.name, lead, code, comment, new.needs, [*old.replaced, old])


def _put_above(moved: Statement, reader: Statement) -> None:
    """Let `moved` take over the blank lines and the heading above the statement that reads it."""
    spacing = [line for line in reader.lead if _is_spacing(line)]
    moved.lead = spacing + [line for line in moved.lead if line.text.strip()]
    reader.lead = [line for line in reader.lead if not _is_spacing(line)]


def _is_spacing(line: Line) -> bool:
    return not line.text.strip() or _is_heading(line)


def _is_heading(line: Line) -> bool:
    return line.text.startswith("# PART ")


def _lines_of(statements: Sequence[Statement]) -> list[Line]:
    """Lay the statements out: one blank line at most, and one before each part."""
    laid: list[Line] = []
    for statement in statements:
        for line in statement.lead:
            blank = not line.text.strip()
            if blank and (not laid or not laid[-1].text):
                continue
            if _is_heading(line) and laid and laid[-1].text:
                laid.append(Line("", line.origin))
            laid.append(Line("", line.origin) if blank else line)
        laid += statement.code
    return laid
