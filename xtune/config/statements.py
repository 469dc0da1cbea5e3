"""Cut a leaf or a part of a config into its statements.

A file that includes others, and every file that is included, may hold only a docstring,
`with read_base():` and assignments `name = expression`, so that a value has one place and a
reader needs no Python. What is copied out flat may hold anything.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xtune.config.source import Line, Origin, shown_path
from xtune.errors import ConfigError, did_you_mean

__all__ = ["Include", "Statement", "cut", "docstring_lines", "includes_others"]


@dataclass
class Statement:
    """`name = expression`, with the comment lines above it.

    Attributes:
        name: what is set; empty for the comments after the last statement of a file.
        lead: blank and comment lines above.
        code: the lines of the assignment itself.
        comment: the comment behind it on its last line, or ''.
        needs: names that the expression reads.
        replaced: the statements for this name that this one took the place of, oldest first.
    """

    name: str
    lead: list[Line]
    code: list[Line]
    comment: str = ""
    needs: frozenset[str] = frozenset()
    replaced: list[Statement] = field(default_factory=list)

    @property
    def origin(self) -> Origin:
        """Where the assignment was written."""
        return self.code[0].origin


@dataclass(frozen=True)
class Include:
    """`from .path import *` under `with read_base():`."""

    path: Path
    origin: Origin


def includes_others(tree: ast.Module) -> bool:
    """Whether a file is a leaf (it has a `with read_base():`) and not a flat sheet."""
    return any(_is_read_base(node) for node in tree.body)


def docstring_lines(tree: ast.Module, lines: Sequence[Line]) -> list[Line]:
    """Return the lines up to the end of the module's docstring, or none.

    Args:
        tree: of the module.
        lines: of it.
    """
    if ast.get_docstring(tree, clean=False) is None:
        return []
    return list(lines[: tree.body[0].end_lineno])


def cut(path: Path, tree: ast.Module, lines: Sequence[Line]) -> list[Statement | Include]:
    """Cut a leaf or part into assignments and inclusions, in their order.

    Args:
        path: of the leaf or part, for messages.
        tree: of it.
        lines: of it.

    Raises:
        ConfigError: anything else stands in it, or an included file does not exist; all of them.
    """
    found: list[Statement | Include] = []
    problems: list[str] = []
    done = len(docstring_lines(tree, lines))
    body = tree.body[1:] if done else tree.body
    for node in body:
        lead, start, end = list(lines[done : node.lineno - 1]), node.lineno - 1, node.end_lineno
        origin = lines[start].origin
        is_inclusion = _is_read_base(node) or _imports_read_base(node)
        if is_inclusion and any(line.text.strip() for line in lead):
            found.append(Statement("", lead, []))
        if done > start:
            problems.append(f"{origin}: one statement a line, please: {lines[start].text.strip()}")
        elif _is_read_base(node):
            assert isinstance(node, ast.With)
            included, refused = _included(path, node, lines)
            found += included
            problems += refused
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if len(node.targets) > 1:
                problems.append(f"{origin}: set one name a statement: {lines[start].text.strip()}")
            found.append(_assignment(node, lead, list(lines[start:end])))
        elif not _imports_read_base(node):
            problems.append(
                f"{origin}: {lines[start].text.strip()!r} does not belong in a leaf or part, which "
                "hold a docstring, `with read_base():` and `name = value`. "
                "Other Python: in a flat copy of your own (xtune copy-cfg)"
            )
        done = end or done
    if problems:
        raise ConfigError("\n".join(problems), problems)
    tail = list(lines[done:])
    if any(line.text.strip() for line in tail):
        found.append(Statement("", tail, []))
    return found


def _assignment(node: ast.Assign, lead: list[Line], code: list[Line]) -> Statement:
    target = node.targets[0]
    assert isinstance(target, ast.Name)
    behind = code[-1].text.encode()[node.end_col_offset :].decode()
    _, mark, comment = behind.partition("#")
    reads = {
        inner.id
        for inner in ast.walk(node.value)
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load)
    }
    return Statement(target.id, lead, code, (mark + comment).strip(), frozenset(reads))


def _included(
    path: Path, block: ast.With, lines: Sequence[Line]
) -> tuple[list[Include], list[str]]:
    """Return the files that a `with read_base():` includes, and what is wrong in it."""
    found, problems = [], []
    for node in block.body:
        origin = lines[node.lineno - 1].origin
        if not (
            isinstance(node, ast.ImportFrom)
            and node.level
            and node.module
            and [alias.name for alias in node.names] == ["*"]
        ):
            written = lines[node.lineno - 1].text.strip()
            problems.append(f"{origin}: {written!r}: under read_base() write `from .file import *`")
            continue
        folder = path.parent
        for _ in range(node.level - 1):
            folder = folder.parent
        part = (folder / node.module.replace(".", "/")).with_suffix(".py")
        if part.is_file():
            found.append(Include(part.resolve(), origin))
        else:
            there = sorted(other.stem for other in part.parent.glob("*.py"))
            near = did_you_mean(part.stem, there)
            if there and not near:
                near = f"; there: {', '.join(there)}"
            problems.append(f"{origin}: no file {shown_path(part)}{near}")
    return found, problems


def _is_read_base(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.With)
        and isinstance(call := node.items[0].context_expr, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "read_base"
    )


def _imports_read_base(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.ImportFrom)
        and node.module in ("mmengine", "mmengine.config")
        and [alias.name for alias in node.names] == ["read_base"]
    )
