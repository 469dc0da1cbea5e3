"""Prompts into a cache; what they begin with alike is computed once: the system text, the shots.

The keys and values of shared tokens are the same in every row, because a token sees only what
stands before it. So one row computes them, and the others get copies, shifted behind their padding.
The last beginning is kept: with prompts in alphabetical order no token is computed twice that a
tree of all prompts has once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import CacheLayerMixin

__all__ = ["PromptReader", "common_length", "shared_length"]

_WORTH_IT = 8  # tokens; a forward pass for fewer costs what it saves
_LONGEST_PIECE = 4096  # tokens of a pass; what a pass holds in memory grows with them

# input ids [S, T], attention mask [S, C + T] or None, positions [S, T], cache -> logits [S, V]
Forward = Callable[[Tensor, Tensor | None, Tensor, DynamicCache], Tensor]


class PromptReader:
    """Computes prompts, several at a time.

    Args:
        forward: a pass of the model over new columns; returns the logits after the last of them.
        device: where the model's embedding is.
        pad_id: any token's; padding is masked.
    """

    def __init__(self, forward: Forward, device: torch.device, pad_id: int) -> None:
        self._forward = forward
        self._device = device
        self._pad_id = pad_id
        self._kept = DynamicCache()  # one row
        self._kept_ids: tuple[int, ...] = ()

    def read(self, prompts: Sequence[tuple[int, ...]]) -> tuple[DynamicCache, Tensor]:
        """Compute B prompts.

        Args:
            prompts: token ids of each, at least one.

        Returns:
            Their cache, left-padded to L, the longest, to be read before the next call; and the
            logits of what comes next, [B, V].
        """
        if len(prompts) == 1:
            logits = self._keep(prompts[0])
            return self._kept, logits
        shared = shared_length(prompts)
        if shared < _WORTH_IT:
            shared = 0
        elif self._kept_ids[:shared] != prompts[0][:shared]:
            self._keep(prompts[0][:shared])
        longest = max(map(len, prompts))
        padding = torch.tensor([[longest - len(each)] for each in prompts], device=self._device)
        columns = torch.arange(longest, device=self._device)
        positions = (columns - padding).clamp(min=0)  # [B, L]
        # a row's column c holds its token c - padding
        cache = _spread(self._kept, positions[:, :shared]) if shared else DynamicCache()
        ids = [[self._pad_id] * (longest - len(each)) + list(each) for each in prompts]
        mask = (columns >= padding).long() if padding.any() else None
        logits = self._forward(
            torch.tensor(ids, device=self._device)[:, shared:], mask, positions[:, shared:], cache
        )
        return cache, logits

    def _keep(self, prompt: tuple[int, ...]) -> Tensor:
        """Have the cache of one prompt; return the logits of what comes next, [1, V]."""
        known = min(common_length(self._kept_ids, prompt), len(prompt) - 1)
        if known < _WORTH_IT:
            self._kept = DynamicCache()
            known = 0
        else:
            self._kept.crop(known - len(self._kept_ids))
        for start in range(known, len(prompt), _LONGEST_PIECE):
            piece = list(prompt[start : start + _LONGEST_PIECE])
            positions = torch.arange(start, start + len(piece), device=self._device)[None]
            logits = self._forward(
                torch.tensor([piece], device=self._device), None, positions, self._kept
            )
        self._kept_ids = prompt
        return logits


def shared_length(prompts: Sequence[tuple[int, ...]]) -> int:
    """How many tokens all prompts begin with, at most all but the last of the shortest.

    >>> shared_length([(1, 2, 3, 4), (1, 2, 3, 5), (1, 2, 3)])
    2
    """
    # what the first and the last in order share, all between them share
    return min(common_length(min(prompts), max(prompts)), min(map(len, prompts)) - 1)


def common_length(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """How many tokens two texts begin with alike; by halves, for texts are long.

    Args:
        one: token ids.
        other: likewise.

    >>> common_length((1, 2, 3), (1, 2, 4, 5))
    2
    """
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _spread(cache: DynamicCache, tokens: Tensor) -> DynamicCache:
    """Return rows that hold one row's tokens, [B, C] of them, in their columns."""
    spread = DynamicCache()
    for at, layer in enumerate(cache.layers):
        assert isinstance(layer, CacheLayerMixin)
        assert layer.keys is not None
        assert layer.values is not None
        keys = layer.keys[0][:, tokens].transpose(0, 1).contiguous()
        values = layer.values[0][:, tokens].transpose(0, 1).contiguous()
        spread.update(keys, values, at)
    return spread
