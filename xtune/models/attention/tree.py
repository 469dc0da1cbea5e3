"""Attention over a row that is a tree of texts: what several texts begin with stands in it once.

    texts   the cat sat     the cat ran     the dog        row    the cat sat ran dog
                                                           depth   0   1   2   2   1

The row is the tree from its root down, depth first. A token stands at its depth and sees its
ancestors and itself, so that it is computed as it would be in its text alone.

Shapes: T tokens of the row, H query heads, K key and value heads, E head width.

    flex attention   a GPU in 16 bits: the tree is its mask
    blocks           everything else: a block of neighbours sees the ancestors of its first token
                     and itself, all others not, so that a row costs T x (depth + block) and not
                     T x T
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from xtune.errors import ModelError
from xtune.losses.devices import runs_on_cpu
from xtune.models.attention.gpu_kernels import has_flex, run_flex

__all__ = ["NAME", "Tree", "tree_attention"]

NAME = "xtune_tree"
_BLOCK = 128  # queries at once


@dataclass(slots=True, weakref_slot=True)
class _Block:
    """Neighbours in a row, and what they see of it.

    Attributes:
        start: of the block in the row.
        stop: of the block in the row, exclusive.
        keys: int64; the ancestors of the first one, and the block itself.
    """

    start: int
    stop: int
    keys: Tensor


@dataclass
class Tree:
    """Who is whose ancestor in a row.

    Attributes:
        depth: int64 [T]; how many ancestors a token has.
        leave: int64 [T]; where its descendants end: k sees a token t from k to leave[k] - 1 below
            it.
        windows: those that layers have asked for; None: all ancestors.
    """

    depth: Tensor
    leave: Tensor
    windows: set[int | None] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._masks: dict[Any, list[Tensor]] = {}
        self._flex_masks: dict[int | None, Any] = {}

    @cached_property
    def blocks(self) -> list[_Block]:
        """The row in blocks of neighbours."""
        tokens, device = len(self.depth), self.depth.device
        places = torch.arange(tokens, device=device)
        made = []
        for start in range(0, tokens, _BLOCK):
            stop = min(start + _BLOCK, tokens)
            # depth first: an earlier token is an ancestor of any of the block only if it is one of
            # the first
            above = (self.leave[:start] > start).nonzero().squeeze(1)
            made.append(_Block(start, stop, torch.cat([above, places[start:stop]])))
        return made

    def masks(
        self, window: int | None, dtype: torch.dtype, alibi_slopes: Tensor | None
    ) -> list[Tensor]:
        """Return the bias of the scores of each block, [H or 1, queries, keys].

        Made for the first layer that needs it, and kept for the others.

        Args:
            window: a token sees itself and the `window - 1` before it; None is all before it.
            dtype: of the scores.
            alibi_slopes: [H]; a score falls by slope x distance.
        """
        key = (window, dtype, alibi_slopes is not None)
        if key not in self._masks:
            self._masks[key] = [
                self._mask(block, window, dtype, alibi_slopes) for block in self.blocks
            ]
        return self._masks[key]

    def _mask(
        self, block: _Block, window: int | None, dtype: torch.dtype, alibi_slopes: Tensor | None
    ) -> Tensor:
        query = torch.arange(block.start, block.stop, device=self.depth.device)[:, None]
        distance = self.depth[query] - self.depth[block.keys]
        seen = (block.keys <= query) & (query < self.leave[block.keys])
        if window is not None:
            seen &= distance < window
        bias = torch.zeros(1, *seen.shape, device=seen.device)
        if alibi_slopes is not None:
            bias = -alibi_slopes[:, None, None].float() * distance
        return bias.masked_fill(~seen, -torch.inf).to(dtype)

    def flex_mask(self, window: int | None) -> Any:
        """Return flex attention's mask; made once for each window."""
        if window not in self._flex_masks:
            from torch.nn.attention.flex_attention import create_block_mask

            depth, leave = self.depth, self.leave
            reach = len(depth) if window is None else window

            def sees(batch: Tensor, head: Tensor, to: Tensor, of: Tensor) -> Tensor:
                return (of <= to) & (to < leave[of]) & (depth[to] - depth[of] < reach)

            self._flex_masks[window] = create_block_mask(
                sees, None, None, len(depth), len(depth), device=depth.device
            )
        return self._flex_masks[window]


def tree_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    tree: Tree | None = None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    alibi_slopes: Tensor | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attend to the ancestors of each token; there is no dropout, for nothing is trained so.

    Args:
        module: the attention layer that calls.
        query: [1, H, T, E].
        key: [1, K, T, E]; each serves H / K query heads.
        value: [1, K, T, E].
        attention_mask: must be None.
        tree: of the row.
        scaling: of the scores; default 1 / sqrt(E).
        sliding_window: a token sees itself and the `sliding_window - 1` before it.
        softcap: bound of the scores, c of `c * tanh(score / c)`.
        alibi_slopes: fp32 [H]; each head's scores fall by slope x distance.
        others: what families pass that changes nothing here, or is refused.

    Returns:
        [1, T, H, E], and None for the attention weights.

    Raises:
        ModelError: called without a tree or with a mask; a kind of attention that is not known.
    """
    if tree is None or attention_mask is not None:
        raise ModelError(f"{type(module).__name__} does not hand a tree on, or brings its own mask")
    for name in ("s_aux", "position_bias"):
        if others.get(name) is not None:
            raise ModelError(f"{type(module).__name__} uses {name!r}, which is not known here")
    tree.windows.add(sliding_window)
    if query.is_cuda and query.dtype != torch.float32 and has_flex(query.device):
        out = attend_flex_tree(
            query,
            key,
            value,
            tree,
            window=sliding_window,
            scaling=scaling,
            softcap=softcap,
            alibi_slopes=alibi_slopes,
        )
        return out, None
    dtype = query.dtype
    if runs_on_cpu(query) and dtype == torch.bfloat16:  # see by_document.py
        query, key, value = query.float(), key.float(), value.float()
    masks = tree.masks(sliding_window, query.dtype, alibi_slopes)
    outputs = []
    with torch.autocast(query.device.type, enabled=False):
        for block, mask in zip(tree.blocks, masks, strict=True):
            states = query[:, :, block.start : block.stop], key[:, :, block.keys]
            outputs.append(
                _attend(*states, value[:, :, block.keys], mask, scaling=scaling, softcap=softcap)
            )
    return torch.cat(outputs, dim=2).transpose(1, 2).to(dtype), None


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    *,
    scaling: float | None,
    softcap: float | None,
) -> Tensor:
    """One block, [1, H, queries, E]."""
    if softcap is None:
        return F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask[None],
            scale=scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )
    shared = query.shape[1] // key.shape[1]
    key, value = (states.repeat_interleave(shared, dim=1) for states in (key, value))
    scores = query @ key.transpose(2, 3) * (scaling or query.shape[-1] ** -0.5)
    scores = softcap * torch.tanh(scores / softcap) + mask
    return scores.float().softmax(dim=-1).to(value.dtype) @ value


def attend_flex_tree(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    tree: Tree,
    *,
    window: int | None,
    scaling: float | None,
    softcap: float | None,
    alibi_slopes: Tensor | None,
) -> Tensor:
    """Attend with torch's flex attention; [1, H, T, E] and twice [1, K, T, E] to [1, T, H, E].

    On a CPU, where only tests call it, it is not compiled.

    Args:
        query: [1, H, T, E].
        key: [1, K, T, E].
        value: [1, K, T, E].
        tree: which tokens see which.
        window: a token sees itself and the `window - 1` before it; None: all.
        scaling: of the scores; None: 1 / sqrt(E).
        softcap: bound of the scores, or None.
        alibi_slopes: fp32 [H]; each head's scores fall by slope x distance.
    """
    depth = tree.depth

    def change(score: Tensor, batch: Tensor, head: Tensor, to: Tensor, of: Tensor) -> Tensor:
        if softcap is not None:
            score = softcap * torch.tanh(score / softcap)
        if alibi_slopes is not None:
            score = score - alibi_slopes[head] * (depth[to] - depth[of])
        return score

    return run_flex(
        query,
        key,
        value,
        change=None if softcap is None and alibi_slopes is None else change,
        blocks=tree.flex_mask(window),
        scaling=scaling,
    )


def _no_mask(*args: Any, **kwargs: Any) -> None:
    """The tree stands in for the mask that transformers would build."""


AttentionInterface.register(NAME, tree_attention)
AttentionMaskInterface.register(NAME, _no_mask)
