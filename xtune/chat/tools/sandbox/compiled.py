"""Packages compiled before the sandbox, where nothing can be written, would compile them each time.

pip installs with `--no-compile` leave that to the first import; sympy's takes seconds.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

__all__ = ["compile_once"]


def compile_once(package: str, module: str) -> None:
    """Import a module of an installed package in another process, unless that was done before.

    Args:
        package: such as 'sympy'.
        module: that imports what is needed of it, in dots, such as 'sympy.solvers'.
    """
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        return
    parts = module.split(".")[1:]
    source = Path(found.origin).parent.joinpath(*parts).with_suffix(".py") if parts else None
    if not Path(importlib.util.cache_from_source(str(source or found.origin))).exists():
        quiet = subprocess.DEVNULL
        subprocess.run(
            [sys.executable, "-c", f"import {module}"], stdout=quiet, stderr=quiet, check=False
        )
