"""Writes examples/python.ipynb, cell by cell, from docs/en/python.md; `--check` only compares.

python docs/notebook.py
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/en/python.md"
NOTEBOOK = ROOT / "examples/python.ipynb"


def cells_of(page: str) -> list[tuple[str, str]]:
    """Return ('markdown' or 'code', text) of a page: each block of Python is a cell."""
    parts = re.split(r"^```python\n(.*?)^```\n", page, flags=re.M | re.S)
    kinds = [("code" if place % 2 else "markdown", text) for place, text in enumerate(parts)]
    return [(kind, text.strip("\n")) for kind, text in kinds if text.strip()]


def notebook_of(page: str) -> str:
    """Return the notebook's JSON; links lead from examples/ to where they led from docs/en/."""
    cells = []
    for number, (kind, text) in enumerate(cells_of(page)):
        if kind == "markdown":
            text = re.sub(r"\]\((?!http)([^)]+)\)", _from_examples, text)
        cell = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}}
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        cells.append(cell | {"source": text.splitlines(keepends=True)})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {
        "cells": cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"


def _from_examples(link: re.Match[str]) -> str:
    there = (PAGE.parent / link[1]).resolve()
    relative = there.relative_to(ROOT)
    same = relative.parts[0] == NOTEBOOK.parent.name
    return f"]({relative.name if same else f'../{relative}'})"


def main() -> int:
    """Write the notebook, or say whether it is what the page says."""
    made = notebook_of(PAGE.read_text("utf-8"))
    if "--check" in sys.argv[1:]:
        is_same = NOTEBOOK.is_file() and NOTEBOOK.read_text("utf-8") == made
        if not is_same:
            sys.stderr.write("examples/python.ipynb is stale: run python docs/notebook.py\n")
        return int(not is_same)
    NOTEBOOK.write_text(made, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
