"""Prompts into a cache; what they begin with alike is computed once: the system text, the shots.

The keys and values of shared tokens are the same in every row, because a token sees only what
stands before it. So one row computes them, and the others get copies, shifted behind their padding.
The last beginning is kept: with prompts in alphabetical order no token is computed twice that a
tree of all prompts has once. Prompts of a server come in no order, so that it keeps several.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from transformers import Cache

from xtune.generation.cache_form import CacheForm, PromptCache, Whole
from xtune.generation.row import Row

__all__ = ["Forward", "PromptReader", "common_length", "shared_length"]

_WORTH_IT = 8  # tokens; a forward pass for fewer costs what it saves


class Forward(Protocol):
    """A pass of a model."""

    def __call__(
        self,
        ids: Tensor,
        mask: Tensor | None,
        positions: Tensor,
        cache: Cache,
        *,
        every: bool = False,
    ) -> Tensor:
        """Return the logits after the last of the new tokens, [S, V].

        Args:
            ids: [S, T].
            mask: [S, C + T] or None.
            positions: [S, T].
            cache: of C tokens; gets T more.
            every: return those after each new token, [S, T, V].
        """


class PromptReader:
    """Computes prompts, several at a time.

    Args:
        forward: a pass of the model over new columns; returns the logits after the last of them.
        device: where the model's embedding is.
        pad_id: any token's; padding is masked.
        kept_tokens: of what was read before the last are kept at most, the least used go first.
        form: how keys and values are held.
    """

    def __init__(
        self,
        forward: Forward,
        device: torch.device,
        pad_id: int,
        *,
        kept_tokens: int = 0,
        form: CacheForm | None = None,
    ) -> None:
        self._forward = forward
        self._device = device
        self._pad_id = pad_id
        self._kept_tokens = kept_tokens
        self._form = form or Whole()
        self._kept: dict[tuple[int, ...], PromptCache] = {}  # of one row; the last used is last

    @property
    def kept(self) -> int:
        """How many tokens are kept."""
        return sum(map(len, self._kept))

    def known(self, prompt: Sequence[int]) -> int:
        """How many tokens at the beginning of a prompt need not be computed."""
        return self._nearest(tuple(prompt), len(prompt) - 1)[1]

    def read_ahead(self, prompt: Sequence[int], most: int) -> int:
        """Compute `most` tokens of a prompt's beginning, if more than these are to be computed.

        Args:
            prompt: token ids.
            most: tokens.

        Returns:
            How many were computed; 0 where the rest is for `read`.
        """
        ids = tuple(prompt)
        known = self.known(ids)
        most = max(most, _WORTH_IT)  # fewer would not be found again
        if len(ids) - known <= most:
            return 0
        self._read_one(ids[: known + most])
        return most

    def read(self, prompts: Sequence[tuple[int, ...]]) -> tuple[PromptCache, Tensor]:
        """Compute B prompts.

        Args:
            prompts: token ids of each, at least one.

        Returns:
            Their cache, left-padded to L, the longest, to be read before the next call; and the
            logits of what comes next, [B, V].
        """
        if len(prompts) == 1:
            return self._read_one(prompts[0])
        shared = shared_length(prompts)
        if shared < _WORTH_IT:
            shared = 0
        else:
            entry, known = self._nearest(prompts[0], shared)
            if known < shared:
                self._read_one(prompts[0][:shared])
                entry = prompts[0][:shared]
            beginning = self._used(entry)
        longest = max(map(len, prompts))
        padding = torch.tensor([[longest - len(each)] for each in prompts], device=self._device)
        columns = torch.arange(longest, device=self._device)
        positions = (columns - padding).clamp(min=0)  # [B, L]
        # a row's column c holds its token c - padding
        cache = _spread(beginning, positions[:, :shared]) if shared else PromptCache(self._form)
        ids = [[self._pad_id] * (longest - len(each)) + list(each) for each in prompts]
        mask = (columns >= padding).long() if padding.any() else None
        logits = self._forward(
            torch.tensor(ids, device=self._device)[:, shared:], mask, positions[:, shared:], cache
        )
        return cache, logits

    def read_noting(self, row: Row, most: int) -> int:
        """Compute some tokens of a prompt whose tokens are to be noted, known ones too.

        Args:
            row: has `unread` tokens.
            most: tokens to be computed now.

        Returns:
            How many were.
        """
        cache, row.reading = row.reading, None  # a pass that fails leaves nothing half written
        if cache is None:
            cache = PromptCache(self._form)
            row.read.clear()
        first = len(row.read)
        last = min(first + most, len(row.prompt) - 1)
        positions = torch.arange(first, last, device=self._device)[None]
        ids = torch.tensor([list(row.prompt[first:last])], device=self._device)
        row.note_prompt(self._forward(ids, None, positions, cache, every=True)[0])
        if row.unread:
            row.reading = cache
        else:
            self.keep(row.prompt[:last], cache)
        return last - first

    def keep(self, ids: tuple[int, ...], cache: PromptCache) -> None:
        """Keep the cache of a row that has ended, for prompts that begin with it.

        Args:
            ids: the tokens that it holds.
            cache: of one row.
        """
        for older in [known for known in self._kept if ids[: len(known)] == known]:
            del self._kept[older]
        self._kept[ids] = cache
        self._drop()

    def _read_one(self, prompt: tuple[int, ...]) -> tuple[PromptCache, Tensor]:
        """Have the cache of one prompt; return it with the logits of what comes next, [1, V]."""
        entry, known = self._nearest(prompt, len(prompt) - 1)
        cache = _beginning(self._used(entry), known) if known else PromptCache(self._form)
        positions = torch.arange(known, len(prompt), device=self._device)[None]
        rest = torch.tensor([list(prompt[known:])], device=self._device)
        logits = self._forward(rest, None, positions, cache)
        self.keep(prompt, cache)
        return cache, logits

    def _nearest(self, prompt: tuple[int, ...], most: int) -> tuple[tuple[int, ...], int]:
        """What is kept that begins most like a prompt, and how many tokens of it, up to `most`."""
        best: tuple[int, ...] = ()
        length = 0
        for ids in self._kept:
            common = min(common_length(ids, prompt), most)
            if common > length:
                best, length = ids, common
        return (best, length) if length >= _WORTH_IT else ((), 0)

    def _used(self, ids: tuple[int, ...]) -> PromptCache:
        self._kept[ids] = self._kept.pop(ids)
        return self._kept[ids]

    def _drop(self) -> None:
        last = next(reversed(self._kept))
        spare = sum(map(len, self._kept)) - len(last) - self._kept_tokens
        for ids in list(self._kept)[:-1]:
            if spare <= 0:
                break
            spare -= len(ids)
            del self._kept[ids]


def shared_length(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with, at most all but the last of the shortest.

    >>> shared_length([(1, 2, 3, 4), (1, 2, 3, 5), (1, 2, 3)])
    2
    """
    # what the first and the last in order share, all between them share
    ordered = [tuple(prompt) for prompt in prompts]
    return min(common_length(min(ordered), max(ordered)), min(map(len, ordered)) - 1)


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


def _beginning(cache: PromptCache, length: int) -> PromptCache:
    """Return the first tokens of one row's cache; what is computed next does not change it."""
    held = [tuple(part[:, :, :length] for part in parts) for parts in cache.parts]
    return PromptCache(cache.form, held)


def _spread(cache: PromptCache, tokens: Tensor) -> PromptCache:
    """Return rows that hold one row's tokens, [B, C] of them, in their columns."""
    held = [
        tuple(part[0][:, tokens].transpose(0, 1).contiguous() for part in parts)
        for parts in cache.parts
    ]
    return PromptCache(cache.form, held)
