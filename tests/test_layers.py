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
    {
        *("__init__", "errors", "garbage", "hub", "local_path", "names", "paths", "registry"),
        *("structures", "vectors"),
    },
    {"config", "losses", "parallel"},
    {"data", "models", "optim", "tools", "checkpoint", "watch"},
    {"generation"},
    {"planning", "export", "demos"},
    {"engine", "chat"},
    {"agents"},
    {"eval", "serve"},
    {"rewards"},
    {"cli"},
]
ROW_OF = {room: row for row, rooms in enumerate(ROWS) for room in rooms}
LONGEST = 400  # lines


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """'xtune.data.pack' -> 'data'; the package itself -> '__init__'."""
    return (*module.split("."), "__init__")[1]


def statements(path: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Line, module and names of every import anywhere in a file, inside functions too.

    `import xtune.errors` has no names. Left out are the imports behind what `import xtune` gives,
    which only a type checker follows.
    """
    package = list(path.relative_to(PACKAGE.parent).parent.parts)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path == PACKAGE / "__init__.py":
        tree.body = [node for node in tree.body if not _is_for_types(node)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield node.lineno, base, [alias.name for alias in node.names]


def _is_for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Every module that a file imports anywhere in it, inside functions too."""
    for line, base, names in statements(path):
        if base == "xtune" and names:
            yield from ((line, f"xtune.{name}") for name in names)
        else:
            yield line, base


def import_graph() -> dict[str, set[str]]:
    """Module of the package -> those of the package that it imports anywhere."""
    modules = {dotted(path): path for path in sorted(PACKAGE.rglob("*.py"))}
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for module, path in modules.items():
        for _, base, names in statements(path):
            # `from xtune.data import pack` imports a module, `import Pack` a name of one.
            found = {f"{base}.{name}" for name in names} & set(modules)
            graph[module] |= found or ({base} & set(modules))
        graph[module] -= {module}
    return graph


def circles(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """The groups of modules that each import all others of their group, at length."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        seen: set[str] = set()
        ahead = list(graph[start])
        while ahead:
            if (module := ahead.pop()) not in seen:
                seen.add(module)
                ahead.extend(graph[module])
        reached[start] = seen
    return {
        frozenset(other for other in reached[module] if module in reached[other])
        for module in graph
        if module in reached[module]
    }


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
    assert {PACKAGE / "errors.py", PACKAGE / "cli/entry.py"} <= set(MODULES)
    assert {room_of(dotted(path)) for path in MODULES} <= set(ROW_OF)


def test_imports_go_upwards_only():
    assert [breach for path in MODULES for breach in breaches(path)] == []


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


def test_there_is_no_import_circle():
    """Imports within functions and for types alone count: who reads a file must read these too."""
    assert circles(import_graph()) == set()


def test_a_circle_would_be_found(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path / "xtune")
    (tmp_path / "xtune/data").mkdir(parents=True)
    files = {
        "__init__.py": "",
        "errors.py": "from xtune import hub\n",
        "hub.py": "",
        "data/__init__.py": "",
        "data/pack.py": "def late():\n    from . import cache\n",
        "data/cache.py": "if TYPE_CHECKING:\n    from xtune.data.loader import StepLoader\n",
        "data/loader.py": "from ..errors import DataError\nimport xtune.data.pack\n",
    }
    for name, text in files.items():
        (tmp_path / "xtune" / name).write_text(text)
    assert circles(import_graph()) == {
        frozenset({"xtune.data.pack", "xtune.data.cache", "xtune.data.loader"})
    }


def test_no_file_is_too_long_or_named_for_nothing():
    for_nothing = ("utils.py", "util.py", "helpers.py", "misc.py", "common.py")
    assert [path for path in MODULES if path.name in for_nothing] == []
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {path: count for path, count in lines.items() if count > LONGEST} == {}


def test_public_names_are_listed_sorted_and_exist():
    modules = {path: importlib.import_module(dotted(path)) for path in MODULES}
    public = {path: getattr(module, "__all__", None) for path, module in modules.items()}
    silent = [path for path, names in public.items() if names is None]
    assert [path for path in silent if path.name != "__init__.py"] == []
    listed = {path: list(names) for path, names in public.items() if names is not None}
    # Capitals first, as ruff sorts them: constants, classes, functions
    assert listed == {path: sorted(names, key=_isort_key) for path, names in listed.items()}
    missing = [(p, n) for p, names in listed.items() for n in names if not hasattr(modules[p], n)]
    assert missing == []


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
