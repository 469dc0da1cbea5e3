"""Write what the pages quote of the repository: python docs/tree.py [--check].

    docs/TREE.md   the rooms: every folder of xtune/ with the first sentence of its docstring
                   the tree: every file with the first sentence of its docstring
    README.md      the config: the demo's, in full

A page and the file that it quotes can so not differ; `tests/test_docs.py` runs --check.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHOWN = ["xtune", "configs", "tools", "benchmarks"]
LEAF = "configs/smollm2/smollm2_135m_lora_toolcall.py"


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


def aligned(rows: list[tuple[str, str]]) -> str:
    """Names and what they are, in two columns, as a fenced block."""
    width = max(len(name) for name, _ in rows) + 2
    drawn = "\n".join(f"{name:<{width}}{what}".rstrip() for name, what in rows)
    return f"```\n{drawn}\n```"


def tree() -> str:
    """Every file, one a line."""
    return aligned([row for name in SHOWN for row in lines(ROOT / name)])


def rooms() -> str:
    """Every folder of the package, one a line."""
    inits = sorted((ROOT / "xtune").glob("*/__init__.py"))
    return aligned([(f"xtune/{init.parent.name}/", sentence(init)) for init in inits])


def config() -> str:
    """The demo's config, as it is."""
    return f"```python\n{(ROOT / LEAF).read_text(encoding='utf-8')}```"


PAGES: dict[str, list[Callable[[], str]]] = {
    "docs/TREE.md": [rooms, tree],
    "README.md": [config],
}


def with_block(text: str, block: Callable[[], str]) -> str:
    """`text` with what stands between the block's two marks written anew."""
    begin = f"<!-- {block.__name__}: python docs/tree.py -->"
    end = f"<!-- end of {block.__name__} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"the page has lost its marks {begin} and {end}: put them back")
    return f"{before}{begin}\n{block()}\n{end}{after}"


def main() -> int:
    """Rewrite the blocks of all pages, or with --check only compare."""
    stale = 0
    for name, blocks in PAGES.items():
        page = ROOT / name
        text = wanted = page.read_text(encoding="utf-8")
        for block in blocks:
            wanted = with_block(wanted, block)
        stale += wanted != text
        if "--check" not in sys.argv and wanted != text:
            page.write_text(wanted, encoding="utf-8")
    return int(stale > 0 and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
