"""Write the tree of files, one line each, into README.md: python docs/tree.py [--check].

The line of a file is the first sentence of its docstring, so that the two cannot differ.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- tree: python docs/tree.py -->", "<!-- end of tree -->"
SHOWN = ["xtune", "configs", "tools", "benchmarks"]


def sentence(path: Path) -> str:
    """The first sentence of a file's docstring; a part without one says what it is itself."""
    text = path.read_text(encoding="utf-8")
    documented = ast.get_docstring(ast.parse(text)) if path.suffix == ".py" else None
    if documented:
        return documented.split("\n\n")[0].replace("\n", " ").split(". ")[0].rstrip(".")
    comment = next((line for line in text.splitlines() if line.startswith("# ")), "")
    return comment.lstrip("# ").split(":")[0]


def lines(folder: Path, depth: int = 0) -> Iterator[tuple[str, str]]:
    """(indented name, what it is) of everything below `folder`, folders after files."""
    init = folder / "__init__.py"
    yield "  " * depth + folder.name + "/", sentence(init) if init.exists() else ""
    entries = sorted(folder.iterdir(), key=lambda p: (p.is_dir(), p.name))
    for entry in entries:
        if folder == ROOT / "configs" and entry.is_dir() and entry.name != "_base_":
            count = len(list(entry.glob("*.py")))
            yield f"  {entry.name}/", f"{count} config{'s' * (count > 1)}, each in INDEX.md"
        elif entry.is_dir() and any(entry.rglob("*.py")) and entry.name != "__pycache__":
            yield from lines(entry, depth + 1)
        elif entry.suffix == ".py" and entry.name != "__init__.py":
            yield "  " * (depth + 1) + entry.name, sentence(entry)


def tree() -> str:
    """The whole tree as a fenced block."""
    rows = [row for name in SHOWN for row in lines(ROOT / name)]
    width = max(len(name) for name, _ in rows) + 2
    drawn = "\n".join(f"{name:<{width}}{what}".rstrip() for name, what in rows)
    return f"{BEGIN}\n```\n{drawn}\n```\n{END}"


def main() -> int:
    """Rewrite the README's tree, or with --check only compare."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    wanted = before + tree() + after
    if "--check" in sys.argv:
        return int(wanted != text)
    readme.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
