"""The pieces of decoder models in plain float64 torch, each from the paper that defines it.

Nothing here imports transformers or xtune: this is what they are compared with. Each family's
case puts the pieces together as its published description says.

Shapes: T tokens of one document, D width, H query heads, K key heads, E head width, V vocabulary.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = [
    "GATED",
    "attend",
    "below",
    "causal",
    "gated",
    "gelu_tanh",
    "heads_first",
    "layer_norm",
    "linear",
    "rms_norm",
    "rope_frequencies",
    "rotate_half_split",
    "rotate_interleaved",
    "silu",
]

GATED = ("gate_proj", "up_proj", "down_proj")  # Llama's names


def below(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The weights whose names begin with `prefix`, by the rest of their names."""
    return {n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)}


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """[T, in] to [T, out]; weight [out, in]."""
    y = x @ weight.T
    return y if bias is None else y + bias


def silu(x: Tensor) -> Tensor:
    """x * sigmoid(x) (Hendrycks & Gimpel 2016; Ramachandran et al. 2017)."""
    return x / (1 + torch.exp(-x))


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Zhang & Sennrich 2019: x / sqrt(mean(x^2) + eps) * weight."""
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * weight


def gelu_tanh(x: Tensor) -> Tensor:
    """Hendrycks & Gimpel 2016, the approximation."""
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gated(x: Tensor, w: dict[str, Tensor], parts: tuple[str, str, str] = GATED) -> Tensor:
    """Shazeer 2020, SwiGLU: down(silu(gate(x)) * up(x)); `parts` are the names of the three."""
    gate, up, down = (w[f"{part}.weight"] for part in parts)
    return linear(silu(linear(x, gate)) * linear(x, up), down)


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor | None, eps: float) -> Tensor:
    """Ba et al. 2016."""
    x = x - x.mean(-1, keepdim=True)
    y = x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * weight
    return y if bias is None else y + bias


def rope_frequencies(width: int, base: float) -> Tensor:
    """Su et al. 2021: base^(-2i / width) for i in 0 … width/2 - 1."""
    return base ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)


def rotate_half_split(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    """Rotate pairs (i, i + E/2) of x [heads, T, E]; frequencies [E/2]."""
    angle = positions.double()[:, None] * frequencies
    first, second = x.chunk(2, dim=-1)
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def rotate_interleaved(x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    """Rotate pairs (2i, 2i + 1) of x [heads, T, E]; frequencies [E/2]."""
    angle = positions.double()[:, None] * frequencies
    even, odd = x[..., 0::2], x[..., 1::2]
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([even * cos - odd * sin, odd * cos + even * sin], dim=-1).flatten(-2)


def heads_first(x: Tensor, heads: int) -> Tensor:
    """[T, heads * E] to [heads, T, E]."""
    return x.view(x.shape[0], heads, -1).transpose(0, 1)


def causal(length: int, window: int | None = None) -> Tensor:
    """bool [T, T]: which key (column) a query (row) sees; `window` counts the query itself."""
    back = torch.arange(length)[:, None] - torch.arange(length)[None, :]
    seen = back >= 0
    return seen if window is None else seen & (back < window)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    window: int | None = None,
    bias: Tensor | None = None,
    scale: float | None = None,
    softcap: float | None = None,
    sinks: Tensor | None = None,
) -> Tensor:
    """Causal softmax attention (Vaswani et al. 2017); consecutive query heads share a key head.

    Args:
        query: [H, T, E].
        key: [K, T, E].
        value: [K, T, Ev].
        window: see `causal`.
        bias: [H, T, T], added to the scaled scores.
        scale: default 1 / sqrt(E).
        softcap: c of c * tanh(score / c).
        sinks: [H]: a score of each head that takes its share and gives nothing.

    Returns:
        [T, H * Ev].
    """
    groups = query.shape[0] // key.shape[0]
    key, value = key.repeat_interleave(groups, 0), value.repeat_interleave(groups, 0)
    scores = query @ key.transpose(1, 2) * (scale or 1 / math.sqrt(query.shape[-1]))
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if bias is not None:
        scores = scores + bias
    scores = scores.masked_fill(~causal(scores.shape[-1], window), -math.inf)
    if sinks is not None:
        scores = torch.cat([scores, sinks[:, None, None].expand(-1, scores.shape[1], 1)], -1)
    shares = torch.softmax(scores, dim=-1)[..., : key.shape[1]]
    return (shares @ value).transpose(0, 1).flatten(1)
