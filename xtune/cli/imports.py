"""Import torch and what stands on it in four fifths of the time."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quick_imports"]


@contextmanager
def quick_imports() -> Iterator[None]:
    """Do not look for garbage within the `with` block.

    Importing torch and transformers makes some million objects that all stay; looking through them
    for garbage, again and again, takes about a second of four.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
