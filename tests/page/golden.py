"""Golden accessibility trees: what a screen reader is given of a view, as text.

After a change that is meant, delete the file and run the test twice: the first run writes it, and
fails so that somebody reads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["check_tree"]

FOLDER = Path(__file__).parent / "trees"


def check_tree(page: Any, name: str, selector: str = "main") -> None:
    """Compare the tree of a part of a page with trees/NAME.yml."""
    tree = page.locator(selector).aria_snapshot() + "\n"
    file = FOLDER / f"{name}.yml"
    if not file.exists():
        FOLDER.mkdir(exist_ok=True)
        file.write_text(tree, encoding="utf-8")
        raise AssertionError(f"{file} is written: read it, and run the test again")
    assert tree == file.read_text(encoding="utf-8")
