"""Spans in which Python does not look for garbage, and objects that it never looks through."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["lasting_imports", "uncollected"]


@contextmanager
def uncollected() -> Iterator[None]:
    """Do not look for garbage within the `with` block.

    A look in the middle of a trace clears the weak references by which storages are watched: they
    would count as alive for ever.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def lasting_imports() -> Iterator[None]:
    """Import within the `with` block what the program needs to its end.

    torch and transformers make half a million objects that all stay. Looking through them for
    garbage, again and again, takes a second of the five in which they are imported, a third of a
    second each time later, and 1.6 seconds when Python ends.
    """
    known = len(sys.modules)
    with uncollected():
        yield
    if len(sys.modules) > known:  # a verb called again in one process must not freeze what it made
        gc.freeze()
