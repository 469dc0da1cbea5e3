"""Keys and values of rows that join and leave: transformers' cache with room at its ends.

All rows end in the same column, so that one pass writes one column for all of them:

    column   start . . . . . end          row 0 has 7 tokens, row 1 has 4; masked places are '.'
    row 0      a a a a a a a
    row 1      . . . b b b b              a row that joins is written to the left of `end`

or, for attention/alike.py, which sums each row from its first token on, all begin in column 0:

    row 0      a a a a a a a
    row 1      b b b b . . .              a pass writes a column of its own for each row

transformers' own layers copy everything for each new column; these have columns in reserve.
Shapes: S rows, H heads, C columns, D of a head.
"""

from __future__ import annotations

import functools
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

from xtune.errors import UsageError
from xtune.generation.cache_form import CacheForm, PromptCache
from xtune.models import base_of

__all__ = ["RowCache", "frequencies_change", "require_keys_and_values", "rows_may_join"]

_RESERVE = 64  # columns


class RowCache(Cache):
    """The cache of the rows that are being answered.

    Args:
        form: how keys and values are held.
        from_start: all rows begin in column 0; else all end in the last.
    """

    def __init__(self, form: CacheForm, *, from_start: bool = False) -> None:
        self._layer = _RowFromStart if from_start else _RowLayer
        new_layer: Any = functools.partial(self._layer, form)
        super().__init__(layer_class_to_replicate=new_layer)
        self._form = form

    @property
    def bytes(self) -> int:
        """What is held, its reserve included."""
        return sum(
            part.numel() * part.element_size() for layer in self.row_layers for part in layer.held
        )

    @property
    def row_layers(self) -> list[_RowLayer]:
        """The layers."""
        return [layer for layer in self.layers if isinstance(layer, _RowLayer)]

    def join(
        self, cache: PromptCache, lengths: Sequence[int], into: Sequence[int], rows: int
    ) -> None:
        """Take in computed prompts, in the place of rows that have ended or behind the last.

        Args:
            cache: of the prompts, left-padded, as it came out of a pass; [len(into), H, L, D].
            lengths: tokens of each.
            into: the rows they become.
            rows: how many rows there are then.
        """
        while len(self.layers) < len(cache.layers):
            self.layers.append(self._layer(self._form))
        for layer, parts in zip(self.row_layers, cache.parts, strict=True):
            layer.join(parts, lengths, into, rows)

    def write_to(self, columns: Tensor) -> None:
        """Say where the next pass writes, for rows that begin in column 0.

        Args:
            columns: of each row, int64 [S].
        """
        for layer in self.row_layers:
            layer.columns = columns

    def row(self, at: int, columns: int) -> PromptCache:
        """Return a copy of the last `columns` of one row.

        Args:
            at: number of the row.
            columns: how many tokens.
        """
        return PromptCache(self._form, [layer.row(at, columns) for layer in self.row_layers])

    def keep(self, rows: Sequence[int], columns: int) -> None:
        """Drop all other rows, and what lies beyond the longest of those that stay.

        Args:
            rows: numbers of those that stay, in their new order.
            columns: how many stay of each.
        """
        for layer in self.row_layers:
            layer.keep(rows, columns)


class _RowLayer(CacheLayerMixin):
    """Rows that end in the same column, C = `end - start` of `held`."""

    is_sliding = False

    def __init__(self, form: CacheForm) -> None:
        super().__init__()
        self.form = form
        self.held: tuple[Tensor, ...] = ()  # with the reserve; the keys' and then the values'
        self.columns = torch.empty(0)  # that the next pass writes to
        self.start = self.end = 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to do: rows join before any pass."""

    def get_seq_length(self) -> int:
        """Return C."""
        return self.end - self.start

    def get_max_length(self) -> int:
        """Return that there is no bound."""
        return -1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return how many columns a pass sees, and that the first of them is column 0."""
        return self.get_seq_length() + query_length, 0

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write the new column, [S, H, 1, D]; return all, [S, H, C, D]."""
        if self.end + 1 > self.held[0].shape[2]:
            self.move(rows=len(key_states), left=0, right=1)
        new = (*self.form.pack(key_states), *self.form.pack(value_states))
        self.end += 1
        for held, states in zip(self.held, new, strict=True):
            self.write(held, states)
        half = len(self.held) // 2
        shown = [held[:, :, self.start : self.end] for held in self.held]
        dtype = key_states.dtype
        return self.form.unpack(shown[:half], dtype), self.form.unpack(shown[half:], dtype)

    def write(self, held: Tensor, states: Tensor) -> None:
        held[:, :, self.end - 1 : self.end] = states

    def join(
        self, parts: Sequence[Tensor], lengths: Sequence[int], into: Sequence[int], rows: int
    ) -> None:
        """Write the last columns of some rows, [len(into), H, L, any]."""
        longest = parts[0].shape[2]
        if not self.is_initialized:
            self.held = tuple(part[:0] for part in parts)
            self.start = self.end = longest
            self.is_initialized = True
        if longest > self.end or rows > len(self.held[0]):
            self.move(rows=rows, left=max(0, longest - self.get_seq_length()), right=0)
        start = self.end - longest
        where = torch.tensor(into, device=parts[0].device)
        for held, states in zip(self.held, parts, strict=True):
            held[where, :, start : self.end] = states
        self.start = min(self.start, start)

    def row(self, at: int, columns: int) -> tuple[Tensor, ...]:
        return tuple(
            held[at : at + 1, :, self.end - columns : self.end].clone() for held in self.held
        )

    def keep(self, rows: Sequence[int], columns: int) -> None:
        self.start = self.end - columns
        self.choose(rows)

    def choose(self, rows: Sequence[int]) -> None:
        """Keep these rows; a reserve that a long row has left is given back."""
        if len(rows) < len(self.held[0]):
            where = torch.tensor(rows, device=self.held[0].device)
            # what lies to the left of the start may be taken by a row that joins: it stays
            self.held = tuple(held[where] for held in self.held)
        if self.held[0].shape[2] > 2 * (self.get_seq_length() + _RESERVE):
            self.move(rows=len(rows), left=0, right=0)

    def move(self, *, rows: int, left: int, right: int) -> None:
        """Make room for more rows, or for columns at the left or the right of what there is."""
        columns = self.get_seq_length()
        wide = left + columns + right + max(_RESERVE, columns // 4)
        moved = []
        for held in self.held:
            # zeros, for what is masked is still multiplied with a weight of 0
            new = held.new_zeros((rows, held.shape[1], wide, held.shape[3]))
            old = held[:, :, self.start : self.end]
            new[: len(held), :, left : left + columns] = old
            moved.append(new)
        self.held = tuple(moved)
        self.start, self.end = left, left + columns


class _RowFromStart(_RowLayer):
    """Rows that begin in column 0; C is the longest's."""

    def write(self, held: Tensor, states: Tensor) -> None:
        held[torch.arange(len(states), device=held.device), :, self.columns] = states[:, :, 0]

    def join(
        self, parts: Sequence[Tensor], lengths: Sequence[int], into: Sequence[int], rows: int
    ) -> None:
        longest = parts[0].shape[2]
        if not self.is_initialized:
            self.held = tuple(part[:0] for part in parts)
            self.is_initialized = True
        if longest > self.held[0].shape[2] or rows > len(self.held[0]):
            self.move(rows=rows, left=0, right=max(0, longest - self.end))
        for held, states in zip(self.held, parts, strict=True):
            for row, length, own in zip(into, lengths, states, strict=True):
                held[row, :, :length] = own[:, longest - length :]
        self.end = max(self.end, longest)

    def row(self, at: int, columns: int) -> tuple[Tensor, ...]:
        return tuple(held[at : at + 1, :, :columns].clone() for held in self.held)

    def keep(self, rows: Sequence[int], columns: int) -> None:
        self.end = columns
        self.choose(rows)


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


def require_keys_and_values(llm: Any, longest: int) -> None:
    """Refuse to hold keys and values in 8 bits where a model keeps something else.

    Args:
        llm: a causal language model, with a PEFT adapter or without.
        longest: tokens of the longest row, its answer included.

    Raises:
        UsageError: names the kind of model.
    """
    config = base_of(llm).config.get_text_config(decoder=True)
    if getattr(config, "kv_lora_rank", None):
        why = "compressed ones for all heads together (MLA)"
    elif not rows_may_join(llm, longest):
        why = "another state (recurrent, shared, learnt, or one that changes with length)"
    else:
        return
    raise UsageError(
        f"8 bits are for models that keep keys and values of each token and head, and "
        f"{config.model_type} keeps {why}: leave --kv-bits out"
    )


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
