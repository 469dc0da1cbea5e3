"""The programs that a model can be handed over to, a file each."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from xtune.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from xtune.serve.handover.given import Given

__all__ = ["Target", "takes_any_layout", "target_named", "targets"]


class Target(Protocol):
    """`write` of a file of this folder."""

    def __call__(self, given: Given, folder: Path, out: Path) -> str:
        """Write all that the program needs, and return what to do next.

        Args:
            given: what is handed over.
            folder: to write into; there already.
            out: the whole path that it will have.
        """


def targets() -> list[str]:
    """Return the names of all targets: the files of this folder."""
    return sorted(found.name for found in pkgutil.iter_modules(__path__))


def target_named(name: str) -> Target:
    """Return a target's `write`.

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
    write: Target = importlib.import_module(f"{__name__}.{name}").write
    return write


def takes_any_layout(name: str) -> bool:
    """Whether a target is given a file that xtune writes, of whatever it reads itself.

    Args:
        name: of a target that there is.
    """
    return bool(getattr(importlib.import_module(f"{__name__}.{name}"), "ANY_LAYOUT", False))
