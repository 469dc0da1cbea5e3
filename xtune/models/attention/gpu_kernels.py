"""The GPU kernels that take a row of documents as it is: flash-attn's, torch's, flex attention.

Shapes: T tokens of the row, H query heads, K key and value heads, E head width. The first two want
[T, heads, E] in fp16 or bf16; flex attention is compiled by torch for what is done to the scores.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = [
    "Row",
    "attend_flash_attn",
    "attend_flex",
    "attend_torch_varlen",
    "has_flash_attn",
    "has_flex",
    "has_torch_varlen",
    "run_flex",
]

logger = logging.getLogger(__name__)


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
    """Attend with flash-attn; [1, H, T, E] and twice [1, K, T, E] to [1, T, H, E].

    Args:
        query: [1, H, T, E].
        key: [1, K, T, E].
        value: [1, K, T, E].
        row: its documents.
        dropout: probability of dropping an attention weight.
        scaling: of the scores; None: 1 / sqrt(E).
        softcap: bound of the scores, or None.
        alibi_slopes: fp32 [H]; each head's scores fall by slope x distance.
    """
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
    """Attend with torch's varlen_attn; [1, H, T, E] and twice [1, K, T, E] to [1, T, H, E].

    Args:
        query: [1, H, T, E].
        key: [1, K, T, E].
        value: [1, K, T, E].
        row: its documents.
        scaling: of the scores; None: 1 / sqrt(E).
    """
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


def attend_flex(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    row: Row,
    *,
    scaling: float | None,
    softcap: float | None,
    alibi_slopes: Tensor | None,
    blocks_of_row: dict[int | None, Any],
) -> Tensor:
    """Attend with torch's flex attention; [1, H, T, E] and twice [1, K, T, E] to [1, T, H, E].

    On a CPU, where only its forward pass is there, it is not compiled.

    Args:
        query: [1, H, T, E].
        key: [1, K, T, E].
        value: [1, K, T, E].
        row: where the documents are.
        scaling: of the scores; None: 1 / sqrt(E).
        softcap: bound of the scores, c of `c * tanh(score / c)`.
        alibi_slopes: fp32 [H]; each head's scores fall by slope x distance.
        blocks_of_row: of this batch, window -> which blocks of the row see which; made for the
            first layer that needs it, and left here for the others.
    """

    def change(score: Tensor, batch: Tensor, head: Tensor, to: Tensor, of: Tensor) -> Tensor:
        if softcap is not None:
            score = softcap * torch.tanh(score / softcap)
        if alibi_slopes is not None:
            score = score - alibi_slopes[head] * (to - of)
        return score

    if row.window not in blocks_of_row:
        blocks_of_row[row.window] = _block_mask(row, query.shape[2])
    return run_flex(
        query,
        key,
        value,
        change=None if softcap is None and alibi_slopes is None else change,
        blocks=blocks_of_row[row.window],
        scaling=scaling,
    )


def run_flex(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    change: Callable[..., Tensor] | None,
    blocks: Any,
    scaling: float | None,
) -> Tensor:
    """Run flex attention, compiled on a GPU; [1, H, T, E] and twice [1, K, T, E] to [1, T, H, E].

    Args:
        query: [1, H, T, E].
        key: [1, K, T, E].
        value: [1, K, T, E].
        change: of a score: (score, batch, head, query's place, key's place) -> score; None: none.
        blocks: flex attention's mask: which tokens see which.
        scaling: of the scores; None: 1 / sqrt(E).
    """
    from torch.nn.attention.flex_attention import flex_attention

    attend: Any = _compiled_flex() if query.is_cuda else flex_attention
    out: Tensor = attend(
        query,
        key,
        value,
        score_mod=change,
        block_mask=blocks,
        scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return out.transpose(1, 2)


def _block_mask(row: Row, tokens: int) -> Any:
    from torch.nn.attention.flex_attention import create_block_mask

    lengths = row.starts.diff()
    document = torch.arange(len(lengths), device=lengths.device).repeat_interleave(
        lengths, output_size=tokens
    )
    window = tokens if row.window is None else row.window

    def sees(batch: Tensor, head: Tensor, to: Tensor, of: Tensor) -> Tensor:
        return (document[to] == document[of]) & (of <= to) & (of > to - window)

    return create_block_mask(sees, None, None, tokens, tokens, device=lengths.device)


@functools.cache
def _compiled_flex() -> Callable[..., Any]:
    """Return flex attention compiled, for a GPU."""
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention)


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


@functools.cache
def has_flex(device: torch.device) -> bool:
    """Tell whether flex attention runs on a GPU, by running it once, forward and backward.

    It needs compute capability 8.0, Triton and a C compiler.
    """
    if torch.cuda.get_device_capability(device) < (8, 0):
        return False
    row = Row(torch.tensor([0, 60, 128], dtype=torch.int32, device=device), 68, None)
    try:
        with torch.enable_grad(), torch.autocast("cuda", enabled=False):  # whoever asks first
            ones = torch.ones(1, 1, 128, 64, device=device, dtype=torch.bfloat16)
            query, key, value = (ones.clone().requires_grad_() for _ in range(3))
            out = attend_flex(
                query,
                key,
                value,
                row,
                scaling=None,
                softcap=50.0,
                alibi_slopes=None,
                blocks_of_row={},
            )
            out.sum().backward()
    except Exception as error:  # of a compiler, of any kind
        logger.warning(
            "flex attention does not run here (%s: %s); SDPA, document by document, stands in",
            type(error).__name__,
            str(error).splitlines()[0] if str(error) else "",
        )
        return False
    return True
