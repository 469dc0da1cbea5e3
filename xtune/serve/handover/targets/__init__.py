"""The programs that a model can be handed over to, a file each."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

from xtune.errors import UsageError, did_you_mean

__all__ = ["takes_any_layout", "target_named", "targets"]


def targets() -> list[str]:
    """Return the names of all targets: the files of this folder."""
    return sorted(found.name for found in pkgutil.iter_modules(__path__))


def target_named(name: str) -> Callable[..., str]:
    """Return a target's `write(given, folder, out)`, which returns what to do next.

    Args:
        name: of its file.

    Raises:
        UsageError: there is none of this name.
    """
    if name not in targets():
        raise UsageError(
            f"unknown target {name!r}{did_you_mean(name, targets())}; there are "
            f"{', '.join(targets())}"
        )
    write: Callable[..., str] = importlib.import_module(f"{__name__}.{name}").write
    return write


def takes_any_layout(name: str) -> bool:
    """Whether a target is given a file that xtune writes, of whatever it reads itself.

    Args:
        name: of a target that there is.
    """
    return bool(getattr(importlib.import_module(f"{__name__}.{name}"), "ANY_LAYOUT", False))
