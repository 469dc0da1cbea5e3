"""Modules of xtune and PEFT as their source has them: read and parsed, never imported."""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "READ",
    "Definition",
    "Found",
    "Module",
    "NotReadable",
    "find_definition",
    "module_named",
    "paths_of",
]

READ = ("xtune", "peft")  # packages whose source is read
Definition = ast.FunctionDef | ast.ClassDef


class NotReadable(Exception):
    """This way of writing a class or function is not read here."""


class Module:
    """A module's top level: what it defines, and what it imports from where."""

    def __init__(self, name: str, file: Path) -> None:
        self.name = name
        self.text = file.read_text(encoding="utf-8")
        self._is_package = file.name == "__init__.py"

    @functools.cached_property
    def body(self) -> list[ast.stmt]:
        """Its statements."""
        return ast.parse(self.text).body

    @functools.cached_property
    def definitions(self) -> dict[str, Definition]:
        """Its classes and functions by name."""
        return {node.name: node for node in self.body if isinstance(node, Definition)}

    @functools.cached_property
    def values(self) -> dict[str, ast.expr]:
        """What is assigned by name, `TextRows: TypeAlias = Literal[…]` too."""
        found: dict[str, ast.expr] = {}
        for node in self.body:
            if isinstance(node, ast.Assign):
                found |= {one.id: node.value for one in node.targets if isinstance(one, ast.Name)}
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found |= {node.target.id: node.value} if node.value else {}
        return found

    @functools.cached_property
    def imports(self) -> dict[str, tuple[str, str]]:
        """What `from … import` brings: by its name here, the module and its name there."""
        found: dict[str, tuple[str, str]] = {}
        for node in self.body:
            if isinstance(node, ast.ImportFrom):
                own = self.name.split(".")
                above = own[: len(own) - node.level + self._is_package] if node.level else []
                source = ".".join([*above, *filter(None, [node.module])])
                found |= {alias.asname or alias.name: (source, alias.name) for alias in node.names}
        return found


class Found(NamedTuple):
    """A class or function, and the module that defines it."""

    module: Module
    node: Definition


def paths_of(name: str) -> Iterator[Path]:
    """Where a module lies, without its suffix; nothing is imported."""
    top, *inner = name.split(".")
    spec = importlib.util.find_spec(top) if top in READ else None
    for folder in (spec.submodule_search_locations if spec else None) or ():
        yield Path(folder, *inner)


@functools.cache
def module_named(name: str) -> Module | None:
    """Return the module of this name; None where it is not of `READ`, or there is none."""
    for path in paths_of(name):
        for file in (path / "__init__.py", path.with_suffix(".py")):
            if file.is_file():
                return Module(name, file)
    return None


def find_definition(module_name: str, name: str) -> Found | None:
    """Follow `from … import name` to where it is defined.

    Args:
        module_name: of the module that has the name, dotted.
        name: of a class or function.
    """
    module = module_named(module_name)
    while module is not None:
        if name in module.definitions:
            return Found(module, module.definitions[name])
        if name not in module.imports:
            return None
        source, name = module.imports[name]
        module = module_named(source)
    return None
