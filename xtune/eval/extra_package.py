"""Packages of the extra `eval`, imported where a task needs them."""

from __future__ import annotations

import importlib
from typing import Any

from xtune.errors import UsageError

__all__ = ["extra_package"]


def extra_package(name: str, needed_for: str) -> Any:
    """Import a package that the base install has not.

    Args:
        name: of the module.
        needed_for: what cannot be done without it, for the message.

    Raises:
        UsageError: it is not installed; says how to.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != name.split(".")[0]:
            raise
        raise UsageError(
            f"{needed_for} needs the package {name}, which is not installed: "
            "pip install 'xtune[eval]'"
        ) from error
