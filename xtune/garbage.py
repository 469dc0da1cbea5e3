"""Spans in which Python does not look for garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["uncollected"]


@contextmanager
def uncollected() -> Iterator[None]:
    """Do not look for garbage within the `with` block.

    Importing torch and transformers makes some million objects that all stay; looking through them
    for garbage, again and again, takes about a second of four. And a look in the middle of a trace
    clears the weak references by which storages are watched: they would count as alive for ever.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
