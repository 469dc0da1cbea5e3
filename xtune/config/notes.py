"""The parts of a config's docstring: how to run it, the hardware it wants, its result."""

from __future__ import annotations

import ast
import re
from pathlib import Path

__all__ = ["estimated_gib", "laptop_gib", "notes"]


def notes(path: Path) -> dict[str, str]:
    """Return the labelled lines of a config's docstring: Run, Hardware, Result, Verified.

    Args:
        path: of the config; it is read, not run.
    """
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    labelled = re.findall(r"^(\w+): +(.*(?:\n {6,}.*)*)", docstring, re.M)
    return {label: " ".join(text.split()) for label, text in labelled}


def estimated_gib(hardware: str) -> float | None:
    """Return the GiB that the config needs on one GPU in bf16; None where no estimate stands.

    The tests hold these equal to what `xtune estimate` says.

    >>> estimated_gib('one GPU of 12 GB: 9.7 GiB estimated in bf16')
    9.7
    """
    found = re.search(r"([\d.]+) GiB estimated", hardware)
    return float(found[1]) if found else None


def laptop_gib(hardware: str) -> float | None:
    """Return the GB that the config needs on a CPU, for which it is meant; None for the others.

    >>> laptop_gib('two CPU cores, 1.6 GB of memory; 8 minutes'), laptop_gib('one GPU of 12 GB')
    (1.6, None)
    """
    found = re.search(r"CPU cores(?:,| and) ([\d.]+) GB", hardware)
    return float(found[1]) if found else None
