"""The shape of the package: who may import whom, and what must not creep in."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "xtune"
MODULES = sorted(PACKAGE.rglob("*.py"))
ROWS = [
    {"__init__", "errors", "garbage", "hub", "local_path", "paths", "registry", "structures"},
    {"config", "losses", "parallel"},
    {"data", "models", "optim", "tools", "checkpoint", "watch"},
    {"generation", "planning", "export", "demos"},
    {"engine", "chat"},
    {"agents"},
    {"eval", "serve"},
    {"cli"},
]
ROW_OF = {room: row for row, rooms in enumerate(ROWS) for room in rooms}
LONGEST = 400  # lines

every_module = pytest.mark.parametrize(
    "path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE))
)


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """'xtune.data.pack' -> 'data'; the package itself -> '__init__'."""
    return (*module.split("."), "__init__")[1]


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Every module that a file imports anywhere in it, inside functions too.

    But for the names that `import xtune` gives: only a type checker follows those imports.
    """
    package = list(path.relative_to(PACKAGE.parent).parent.parts)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path == PACKAGE / "__init__.py":
        tree.body = [node for node in tree.body if not _is_for_types(node)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            if base == "xtune":
                yield from ((node.lineno, f"xtune.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, base


def _is_for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def breaches(path: Path) -> list[str]:
    """The imports of a file that reach below its row, or sideways."""
    own = room_of(dotted(path))
    found = []
    for line, module in imported(path):
        if module.split(".")[0] != "xtune":
            continue
        other = room_of(module)
        if other not in ROW_OF:  # a name of xtune/__init__.py, such as __version__
            continue
        if other != own and ROW_OF[other] >= ROW_OF[own] and ROW_OF[own] > 0:
            found.append(f"{path}:{line}: {own} imports {other}")
        if ROW_OF[own] == 0 and ROW_OF[other] > 0:
            found.append(f"{path}:{line}: {own} imports {other}")
    return found


def test_the_walk_finds_the_package():
    assert len(MODULES) > 60
    assert {room_of(dotted(path)) for path in MODULES} <= set(ROW_OF)


@every_module
def test_imports_go_upwards_only(path):
    assert breaches(path) == []


def test_a_sideways_import_would_be_found(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path / "xtune")
    (tmp_path / "xtune/data").mkdir(parents=True)
    path = tmp_path / "xtune/data/pack.py"
    path.write_text(
        "from xtune.errors import DataError\n"
        "from xtune.config import render\n"
        "from . import collate\n"
        "def late():\n"
        "    from xtune import models\n"
        "    from ..engine.loops import TrainLoop\n"
    )
    assert [line.split(": ")[1] for line in breaches(path)] == [
        "data imports models",
        "data imports engine",
    ]


@every_module
def test_no_file_is_too_long_or_named_for_nothing(path):
    assert path.name not in ("utils.py", "util.py", "helpers.py", "misc.py", "common.py")
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


@every_module
def test_public_names_are_listed_sorted_and_exist(path):
    module = importlib.import_module(dotted(path))
    public = getattr(module, "__all__", None)
    if path.name != "__init__.py":
        assert public is not None, "every module says what is public"
    if public is not None:
        # Capitals first, as ruff sorts them: constants, classes, functions
        assert list(public) == sorted(public, key=_isort_key)
        assert [name for name in public if not hasattr(module, name)] == []


def _isort_key(name: str) -> tuple[int, list[str | int]]:
    kind = 0 if name.isupper() else 1 if name[:1].isupper() else 2
    pieces = re.split(r"(\d+)", name)  # AdamW8bit comes before AdamW32bit
    return kind, [int(piece) if piece.isdigit() else piece for piece in pieces]


@pytest.mark.parametrize("module", ["xtune", "xtune.cli.entry", "xtune.config", "xtune.errors"])
def test_importing_it_imports_no_torch(module):
    heavy = "{'torch', 'transformers', 'peft', 'datasets'} & set(sys.modules)"
    code = f"import sys, {module}; sys.exit(bool({heavy}))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("verb", sorted(path.stem for path in (PACKAGE / "cli").glob("[!_]*.py")))
def test_importing_a_verb_imports_no_torch(verb):
    heavy = "{'torch', 'transformers', 'peft', 'datasets'} & set(sys.modules)"
    code = f"import sys, xtune.cli.{verb}; sys.exit(bool({heavy}))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
