"""How keys and values are held: as they are computed, or in 8 bits with a scale a token and head.

In 8 bits a head of 64 numbers takes 66 bytes where bf16 takes 128. What attention sees are the held
numbers, those of the newest token too: an answer is then the same whether its prompt was read just
now, in pieces, or is known from before.

Shapes: S rows, H key heads, C columns, D of a head.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

from xtune.errors import UsageError
from xtune.models import base_of

__all__ = [
    "CacheForm",
    "EightBits",
    "PromptCache",
    "PromptLayer",
    "Whole",
    "bytes_per_token",
    "form_of",
]

_LARGEST = 127  # of a signed number of 8 bits, without its one lonely -128
_LEAST = 1e-30  # of a scale: a head of zeros is divided by it


class CacheForm(Protocol):
    """How numbers of keys or of values are held."""

    def pack(self, states: Tensor) -> tuple[Tensor, ...]:
        """Return what is held of numbers [S, H, C, D]: tensors [S, H, C, any]."""

    def unpack(self, held: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
        """Return the numbers, [S, H, C, D], of what is held.

        Args:
            held: as `pack` returns it.
            dtype: of the numbers.
        """

    def bytes(self, width: int, element: int) -> int:
        """Return the bytes that a head takes for a token.

        Args:
            width: numbers, D.
            element: bytes of each as it is computed.
        """


class Whole:
    """Numbers as they are."""

    def pack(self, states: Tensor) -> tuple[Tensor, ...]:
        """Return them."""
        return (states,)

    def unpack(self, held: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
        """Return them.

        Args: as `CacheForm.unpack`.
        """
        return held[0]

    def bytes(self, width: int, element: int) -> int:
        """Return what they take.

        Args: as `CacheForm.bytes`.
        """
        return width * element


class EightBits:
    """Numbers as integers from -127 to 127, times a scale of each token and head, in bf16."""

    def pack(self, states: Tensor) -> tuple[Tensor, ...]:
        """Return the integers, [S, H, C, D], and their scales, [S, H, C, 1]."""
        numbers = states.float()
        scale = (numbers.abs().amax(-1, keepdim=True) / _LARGEST).clamp(min=_LEAST).bfloat16()
        return (numbers / scale.float()).round().clamp(-_LARGEST, _LARGEST).to(torch.int8), scale

    def unpack(self, held: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
        """Return the products.

        Args: as `CacheForm.unpack`.
        """
        integers, scale = held
        return integers.to(dtype) * scale.to(dtype)

    def bytes(self, width: int, element: int) -> int:
        """Return what they take with their scale.

        Args: as `CacheForm.bytes`.
        """
        return width + 2


class PromptLayer(CacheLayerMixin):
    """Keys and values of one layer, which grow by copying.

    Args:
        form: how they are held.

    Attributes:
        parts: those of the keys, and those of the values behind them.
    """

    is_sliding = False

    def __init__(self, form: CacheForm) -> None:
        super().__init__()
        self.form = form
        self.parts: tuple[Tensor, ...] = ()

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Do nothing: the first pass brings all.

        Args:
            key_states: not read.
            value_states: not read.
        """

    def get_seq_length(self) -> int:
        """Return C."""
        return self.parts[0].shape[2] if self.parts else 0

    def get_max_length(self) -> int:
        """Return that there is no bound."""
        return -1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return how many columns a pass sees, and that the first of them is column 0."""
        return self.get_seq_length() + query_length, 0

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Hold new columns; return keys and values of all, [S, H, C, D] each.

        Args:
            key_states: of the new columns, [S, H, new, D].
            value_states: the same.
            *args: transformers' own, not read.
            **kwargs: the same.
        """
        new = (*self.form.pack(key_states), *self.form.pack(value_states))
        self.parts = (
            tuple(torch.cat(pair, dim=2) for pair in zip(self.parts, new, strict=True))
            if self.parts
            else new
        )
        self.is_initialized = True
        half = len(self.parts) // 2
        dtype = key_states.dtype
        return (
            self.form.unpack(self.parts[:half], dtype),
            self.form.unpack(self.parts[half:], dtype),
        )


class PromptCache(Cache):
    """Keys and values of prompts.

    Args:
        form: how they are held.
        parts: of each layer; none: of an empty cache.
    """

    def __init__(self, form: CacheForm, parts: Sequence[tuple[Tensor, ...]] = ()) -> None:
        new_layer: Any = functools.partial(PromptLayer, form)
        super().__init__(layer_class_to_replicate=new_layer)
        self.form = form
        for held in parts:
            self.layers.append(layer := PromptLayer(form))
            layer.parts = held
            layer.is_initialized = True

    @property
    def parts(self) -> list[tuple[Tensor, ...]]:
        """What is held, layer by layer."""
        held = []
        for layer in self.layers:
            assert isinstance(layer, PromptLayer)
            held.append(layer.parts)
        return held


def form_of(bits: int | None) -> CacheForm:
    """Return how keys and values are held; see `require_keys_and_values` too.

    Args:
        bits: 8, or None for numbers as they are computed.

    Raises:
        UsageError: there is no such form.
    """
    if bits not in (None, 8):
        raise UsageError(f"keys and values in {bits} bits; allowed: 8, or as they are computed")
    return Whole() if bits is None else EightBits()


def bytes_per_token(llm: Any, form: CacheForm | None = None) -> int:
    """How much memory the keys and values of one token of one row take.

    Args:
        llm: a causal language model, with a PEFT adapter or without.
        form: how they are held; None: as they are computed.
    """
    config = base_of(llm).config.get_text_config(decoder=True)
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    number = llm.get_input_embeddings().weight.element_size()
    return int(2 * config.num_hidden_layers * heads * (form or Whole()).bytes(width, number))
