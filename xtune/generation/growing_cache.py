"""Keys and values with room behind them: a new token is written there, and no other is moved.

transformers' own cache copies the keys and values of the whole text for each token, which takes a
fifth of the time of a large batch on a CPU.

    before   [ k k k k . . . . ]      after one more token   [ k k k k k . . . ]
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

__all__ = ["GrowingLayer", "growing_cache"]

_ROOM = 32  # tokens; so the whole is copied for one token of 32, and little memory waits


class GrowingLayer(DynamicLayer):
    """One layer's keys and values, each [B, H, T, D]: views of tensors with room for more tokens.

    Rows that are selected, cut or put in another order are views of something else, or shorter
    ones: the next token then finds its place behind them, or moves them to a new room.
    """

    _key_room: Tensor | None = None
    _value_room: Tensor | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write the keys and values of new tokens behind those that are there; return all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys, self._key_room = _appended(self.keys, key_states, self._key_room)
        self.values, self._value_room = _appended(self.values, value_states, self._value_room)
        return self.keys, self.values


def growing_cache(llm: Any) -> DynamicCache | None:
    """Return an empty cache for `generate`.

    Args:
        llm: a causal language model, with a PEFT adapter or without.

    Returns:
        None for models with a cache of another kind: windows, states, or one that their generation
        config names.
    """
    if getattr(llm.generation_config, "cache_implementation", None) is not None:
        return None
    cache = DynamicCache(config=llm.config.get_text_config())
    if not cache.layers or any(type(layer) is not DynamicLayer for layer in cache.layers):
        return None
    cache.layers = [GrowingLayer() for _ in cache.layers]
    return cache


def _appended(held: Any, new: Tensor, room: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return `held` with `new` behind it, and the room that both stand in."""
    length = held.shape[-2] if held.numel() else 0
    whole = length + new.shape[-2]
    here = room is not None and held.data_ptr() == room.data_ptr()
    if room is None or not here or len(held) != len(room) or whole > room.shape[-2]:
        room = new.new_empty(*new.shape[:-2], whole + _ROOM, new.shape[-1])
        if length:
            room[..., :length, :] = held
    room[..., length:whole, :] = new
    return room[..., :whole, :], room
