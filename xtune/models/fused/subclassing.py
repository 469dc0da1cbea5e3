"""How a layer becomes a fused one: its class changes to a subclass, everything else stays.

Its place in the model, its parameters, their names, its hooks and its settings are what they were;
`super().forward` is the way round for calls that the fused code does not cover. FSDP2's
`fully_shard` marks the modules that it manages in the same way.
"""

from __future__ import annotations

import functools
from typing import Any

from torch import nn

__all__ = ["adopt"]


def adopt(layer: nn.Module, mixin: type) -> None:
    """Let `layer` be of a class that inherits from `mixin` first and from its own class second.

    Done once: a layer that is one already stays as it is.

    Args:
        layer: changed in place.
        mixin: has the methods that take the place of its own.
    """
    if not isinstance(layer, mixin):
        plain: Any = type(layer)
        layer.__class__ = _subclass(mixin, plain)


@functools.cache
def _subclass(mixin: type, plain: type) -> type:
    name = f"Fused{plain.__name__}"
    return type(name, (mixin, plain), {"__module__": mixin.__module__, "__doc__": mixin.__doc__})
