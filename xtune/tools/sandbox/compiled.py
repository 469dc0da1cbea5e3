"""Packages compiled beforehand: in the sandbox, where nothing is written, each start would do so.

pip installs with `--no-compile` leave that to the first import; sympy's takes seconds.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys

__all__ = ["compile_once"]

_SECONDS = 100.0


def compile_once(package: str, module: str) -> None:
    """Import a module of an installed package in another process, unless that was done before.

    It writes what Python writes at a first import, also where PYTHONDONTWRITEBYTECODE asks for
    none; where it may not write, or takes too long, the sandbox is slower to start.

    Args:
        package: such as 'sympy'.
        module: that imports what is needed of it.
    """
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        return
    if os.path.exists(importlib.util.cache_from_source(found.origin)):
        return
    environment = {key: os.environ[key] for key in os.environ if key != "PYTHONDONTWRITEBYTECODE"}
    quiet = subprocess.DEVNULL
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(
            [sys.executable, "-c", f"import {module}"],
            env=environment,
            stdout=quiet,
            stderr=quiet,
            timeout=_SECONDS,
            check=False,
        )
