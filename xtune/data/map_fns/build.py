"""What a config's `map_fn` stands for."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from xtune.data.map_fns.base import MapFn
from xtune.registry import MAP_FNS, resolve

__all__ = ["build_map_fn", "name_of"]


def build_map_fn(map_fn: str | MapFn | Mapping[str, Any]) -> MapFn:
    """Turn a config's `map_fn` into the function.

    >>> name_of(build_map_fn({'type': 'prompt_output', 'train_on_inputs': True}))
    'prompt_output_map_fn'

    Args:
        map_fn: a registered name, 'path/to/file.py:name', a function, or a dict with one of these
            as `type` and the function's switches.

    Raises:
        RegistryError: nothing has that name.
    """
    if not isinstance(map_fn, Mapping):
        return resolve(MAP_FNS, map_fn)
    switches = dict(map_fn)
    return functools.partial(resolve(MAP_FNS, switches.pop("type", None)), **switches)


def name_of(map_fn: Callable[..., Any]) -> str:
    """Return the function's own name, for messages."""
    inner = map_fn.func if isinstance(map_fn, functools.partial) else map_fn
    return getattr(inner, "__name__", repr(inner))
