"""Keys and values of rows that join and leave: transformers' cache with room at its ends.

All rows end in the same column, so that one pass writes one column for all of them:

    column   start . . . . . end          row 0 has 7 tokens, row 1 has 4; masked places are '.'
    row 0      a a a a a a a
    row 1      . . . b b b b              a row that joins is written to the left of `end`

transformers' own layers copy everything for each new column; these have columns in reserve.
Shapes: S rows, H heads, C columns, D of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache
from transformers.cache_utils import (
    CacheLayerMixin,
    DynamicLayer,
    DynamicSlidingWindowLayer,
)

from xtune.models import base_of

__all__ = ["RowCache", "frequencies_change", "rows_may_join"]

_RESERVE = 64  # columns


class RowCache(Cache):
    """The cache of the rows that are being answered."""

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=_RowLayer)

    def join(self, cache: DynamicCache, into: Sequence[int], rows: int) -> None:
        """Take in computed prompts, in the place of rows that have ended or behind the last.

        Args:
            cache: of the prompts, left-padded, as it came out of a pass; [len(into), H, L, D].
            into: the rows they become.
            rows: how many rows there are then.
        """
        while len(self.layers) < len(cache.layers):
            self.layers.append(_RowLayer())
        for layer, joining in zip(self.layers, cache.layers, strict=True):
            assert isinstance(layer, _RowLayer)
            assert isinstance(joining, CacheLayerMixin)
            assert joining.keys is not None
            assert joining.values is not None
            layer.join(joining.keys, joining.values, into, rows)

    def row(self, at: int, columns: int) -> DynamicCache:
        """Return a copy of the last `columns` of one row.

        Args:
            at: number of the row.
            columns: how many tokens.
        """
        copied = DynamicCache()
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, _RowLayer)
            copied.update(*layer.row(at, columns), number)
        return copied

    def keep(self, rows: Sequence[int], columns: int) -> None:
        """Drop all other rows, and what lies to the left of the last `columns`.

        Args:
            rows: numbers of those that stay, in their new order.
            columns: how many stay of each.
        """
        for layer in self.layers:
            assert isinstance(layer, _RowLayer)
            layer.keep(rows, columns)


class _RowLayer(CacheLayerMixin):
    is_sliding = False

    def __init__(self) -> None:
        super().__init__()
        self._held: tuple[Tensor, Tensor] = (torch.empty(0), torch.empty(0))  # with the reserve
        self._start = self._end = 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to do: rows join before any pass."""

    def get_seq_length(self) -> int:
        """Return C."""
        return self._end - self._start

    def get_max_length(self) -> int:
        """Return that there is no bound."""
        return -1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return how many columns a pass sees, and that the first of them is column 0."""
        return self.get_seq_length() + query_length, 0

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write the new columns, [S, H, new, D]; return all, [S, H, C, D]."""
        new = key_states.shape[2]
        if self._end + new > self._held[0].shape[2]:
            self._move(rows=len(key_states), left=0, right=new)
        for held, states in zip(self._held, (key_states, value_states), strict=True):
            held[:, :, self._end : self._end + new] = states
        self._end += new
        return self._show()

    def join(self, keys: Tensor, values: Tensor, into: Sequence[int], rows: int) -> None:
        """Write the last columns of some rows, [len(into), H, L, D]."""
        if not self.is_initialized:
            self._held = (keys[:0], values[:0])
            self._start = self._end = keys.shape[2]
            self.is_initialized = True
        if keys.shape[2] > self._end or rows > len(self._held[0]):
            self._move(rows=rows, left=max(0, keys.shape[2] - self.get_seq_length()), right=0)
        start = self._end - keys.shape[2]
        where = torch.tensor(into, device=keys.device)
        for held, states in zip(self._held, (keys, values), strict=True):
            held[where, :, start : self._end] = states
        self._start = min(self._start, start)
        self._show()

    def row(self, at: int, columns: int) -> tuple[Tensor, Tensor]:
        keys, values = (
            held[at : at + 1, :, self._end - columns : self._end].clone() for held in self._held
        )
        return keys, values

    def keep(self, rows: Sequence[int], columns: int) -> None:
        self._start = self._end - columns
        if len(rows) < len(self._held[0]):
            where = torch.tensor(rows, device=self._held[0].device)
            # what lies to the left of the start may be taken by a row that joins: it stays
            self._held = (self._held[0][where], self._held[1][where])
        self._show()

    def _move(self, *, rows: int, left: int, right: int) -> None:
        """Make room for more rows, or for columns at the left or the right of what there is."""
        columns = self.get_seq_length()
        wide = left + columns + right + max(_RESERVE, columns // 4)
        moved = []
        for held in self._held:
            # zeros, for what is masked is still multiplied with a weight of 0
            new = held.new_zeros((rows, held.shape[1], wide, held.shape[3]))
            old = held[:, :, self._start : self._end]
            new[: len(held), :, left : left + columns] = old
            moved.append(new)
        self._held = (moved[0], moved[1])
        self._start, self._end = left, left + columns

    def _show(self) -> tuple[Tensor, Tensor]:
        shown = [held[:, :, self._start : self._end] for held in self._held]
        self.keys, self.values = shown
        return shown[0], shown[1]


def rows_may_join(llm: Any, longest: int) -> bool:
    """Whether the model keeps keys and values of each token, and nothing else.

    Not so: states of a linear attention, layers that share a cache, prompts that PEFT has learnt,
    chunks counted from the row's beginning, and rotary frequencies that follow the longest row.

    Args:
        llm: a causal language model, with a PEFT adapter or without.
        longest: tokens of the longest row, its answer included.
    """
    base: Any = base_of(llm)
    config = base.config.get_text_config(decoder=True)
    if any(each.is_prompt_learning for each in getattr(llm, "peft_config", {}).values()):
        return False
    if base._is_stateful or not base._supports_default_dynamic_cache():
        return False
    if getattr(config, "attention_chunk_size", None) is not None:
        return False
    if frequencies_change(llm, longest):
        return False
    kinds = {type(layer) for layer in DynamicCache(config=config).layers}
    return bool(kinds) and kinds <= {DynamicLayer, DynamicSlidingWindowLayer}


def frequencies_change(llm: Any, longest: int) -> bool:
    """Whether rotary frequencies follow the longest row that is computed: dynamic NTK, LongRoPE.

    Args:
        llm: a causal language model, with a PEFT adapter or without.
        longest: tokens of the longest row, its answer included.
    """
    config = base_of(llm).config.get_text_config(decoder=True)
    trained = getattr(config, "max_position_embeddings", None) or float("inf")
    if getattr(config, "use_dynamic_ntk", False):  # Qwen, first generation
        return bool(longest > config.seq_length)
    given = getattr(config, "rope_parameters", None) or {}
    ropes = [given, *(each for each in given.values() if isinstance(each, dict))]  # one a kind
    return any(
        longest > (rope.get("original_max_position_embeddings") or trained)
        for rope in ropes
        if rope.get("rope_type") in ("dynamic", "longrope")
    )
