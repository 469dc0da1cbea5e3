"""The two GPU kernels that take a row of documents as it is: flash-attn's and torch's own.

Shapes: T tokens of the row, H query heads, K key and value heads, E head width. Both want
[T, heads, E] in fp16 or bf16.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Row", "attend_flash_attn", "attend_torch_varlen", "has_flash_attn", "has_torch_varlen"]


@dataclass(frozen=True, slots=True)
class Row:
    """Where the documents of a row are, and how far back a token sees.

    Attributes:
        starts: int32 [documents + 1]; the last is T.
        longest: tokens of the longest document.
        window: a token sees itself and the `window - 1` before it; None is all before it.
    """

    starts: Tensor
    longest: int
    window: int | None

    def boundaries(self) -> tuple[Tensor, Tensor, int, int]:
        """Starts and longest, of queries and of keys, in both kernels' order."""
        return self.starts, self.starts, self.longest, self.longest

    def window_size(self) -> tuple[int, int]:
        """How many tokens are seen to the left and to the right; -1 is all."""
        return (-1 if self.window is None else self.window - 1), 0


def attend_flash_attn(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    row: Row,
    *,
    dropout: float,
    scaling: float | None,
    softcap: float | None,
    alibi_slopes: Tensor | None = None,
) -> Tensor:
    """Attend with flash-attn; [1, H, T, E] and twice [1, K, T, E] to [1, T, H, E]."""
    from flash_attn import flash_attn_varlen_func

    out = flash_attn_varlen_func(
        _rows(query),
        _rows(key),
        _rows(value),
        *row.boundaries(),
        dropout_p=dropout,
        softmax_scale=scaling,
        causal=True,
        window_size=row.window_size(),
        softcap=softcap or 0.0,
        alibi_slopes=alibi_slopes,
    )
    return out[None]


def attend_torch_varlen(
    query: Tensor, key: Tensor, value: Tensor, row: Row, *, scaling: float | None
) -> Tensor:
    """Attend with torch's varlen_attn; [1, H, T, E] and twice [1, K, T, E] to [1, T, H, E]."""
    from torch.nn.attention.varlen import varlen_attn

    out = varlen_attn(
        _rows(query),
        _rows(key),
        _rows(value),
        *row.boundaries(),
        scale=scaling,
        window_size=row.window_size(),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    assert isinstance(out, Tensor)  # the log-sum-exp comes too only when it is asked for
    return out[None]


def _rows(states: Tensor) -> Tensor:
    return states[0].transpose(0, 1)


@functools.cache
def has_flash_attn() -> bool:
    """Tell whether flash-attn can be used: a GPU, and a build that fits this torch."""
    if not torch.cuda.is_available():
        return False
    try:
        from flash_attn import flash_attn_varlen_func  # noqa: F401
    except ImportError:
        return False
    return True


@functools.cache
def has_torch_varlen(device: torch.device) -> bool:
    """Tell whether torch's varlen_attn runs on a GPU: compute capability 8.0 and above."""
    try:
        import torch.nn.attention.varlen  # noqa: F401
    except ImportError:  # torch before 2.10
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)
