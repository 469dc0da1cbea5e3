"""Rows that several processes share: each attends over the whole row with some of the heads.

    between layers   all heads of a slice of the row     [1, H, t, E]
    in attention     some heads of the whole row         [1, H / N, T, E]

One exchange before attention and one after it lead from the one to the other and back
(DeepSpeed-Ulysses, Jacobs et al. 2023), so that any kernel, window and boundary works as it does
on one process.

Shapes: N processes, T tokens of the row, t = T / N of a slice, H query heads, K key and value
heads, k of them on each process, E head width (the values' may be another).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from transformers import PretrainedConfig

from xtune.errors import ModelError
from xtune.parallel.sequence import SequenceGroup, all_to_all

__all__ = [
    "key_heads",
    "length_that_rotation_depends_on",
    "to_heads",
    "to_slices",
    "why_not_slices",
]


def why_not_slices(config: PretrainedConfig, size: int, longest: int) -> str | None:
    """Say, from its config alone, why a model cannot be trained on shared rows; None if it can.

    Args:
        config: of a checkpoint.
        size: how many processes are to share a row.
        longest: tokens of the longest document of the data.
    """
    text = config.get_text_config()
    if (heads := getattr(text, "num_attention_heads", None)) and heads % size:
        return _uneven(heads, size)
    trained = length_that_rotation_depends_on(text)
    if trained is not None and longest > trained:
        return (
            f"its rotary positions beyond {trained:,} tokens depend on a document's whole length, "
            f"which no slice of it shows, and max_length is {longest:,}. Set max_length to "
            f"{trained} or less, or sequence_parallel_size to 1"
        )
    return None


def _uneven(heads: int, size: int) -> str:
    allowed = ", ".join(str(n) for n in range(1, heads + 1) if heads % n == 0)
    return (
        f"{heads} query heads cannot be shared out evenly among {size} processes. "
        f"sequence_parallel_size may be {allowed}"
    )


def length_that_rotation_depends_on(config: PretrainedConfig) -> int | None:
    """Return up to which length a token's rotary frequencies are the same, whatever follows it.

    Args:
        config: of the language model itself.

    Returns:
        None where they never depend on what follows.
    """
    if getattr(config, "use_dynamic_ntk", False):  # Qwen 1, in evaluation mode
        return config.seq_length
    rope = getattr(config, "rope_parameters", None) or {}
    # One for all layers, or one for each type of layer
    for one in [rope, *(kind for kind in rope.values() if isinstance(kind, Mapping))]:
        if one.get("rope_type") == "dynamic":
            return config.max_position_embeddings
        if one.get("rope_type") == "longrope":
            return one["original_max_position_embeddings"]
    return None


def key_heads(heads: int, keys: int, size: int) -> list[int]:
    """Return which key heads each process needs for its query heads, k a process, in order.

    A key head that serves query heads of several processes goes to each of them; one process's
    all serve equally many, as grouped-query attention wants it.

    >>> key_heads(8, 4, 2)  # four query heads a process, two to a key head
    [0, 1, 2, 3]
    >>> key_heads(8, 2, 4)  # each key head serves two processes
    [0, 0, 1, 1]
    >>> key_heads(6, 3, 2)  # the middle one serves both, so each query head gets one of its own
    [0, 0, 1, 1, 2, 2]

    Args:
        heads: H, a multiple of K and of N.
        keys: K.
        size: N.
    """
    shared = heads // keys  # query heads of one key head
    served = math.gcd(shared, heads // size)
    return [head // shared for head in range(0, heads, served)]


def to_heads(
    query: Tensor, key: Tensor, value: Tensor, group: SequenceGroup
) -> tuple[Tensor, Tensor, Tensor]:
    """Exchange all heads of a slice for some heads of the whole row.

    Args:
        query: [1, H, t, E].
        key: [1, K, t, E]; each serves H / K query heads.
        value: [1, K, t, E].
        group: the processes that share the row.

    Returns:
        [1, H / N, T, E] and twice [1, k, T, E].

    Raises:
        ModelError: N does not divide H.
    """
    heads, keys = query.shape[1], key.shape[1]
    if heads % group.size:
        raise ModelError(f"one of its layers cannot share its rows: {_uneven(heads, group.size)}")
    needed = key_heads(heads, keys, group.size)
    if len(needed) > keys:  # selected twice, a head's gradients are added up
        index = torch.tensor(needed, device=key.device)
        key, value = key.index_select(1, index), value.index_select(1, index)
    # One exchange for the three: its cost is in its number more than in its size.
    blocks = [_blocks(states, group.size) for states in (query, key, value)]
    rows = all_to_all(torch.cat(blocks, dim=2), group).flatten(0, 1)  # [T, …]: by sender, by token
    query, key, value = (
        row.unflatten(1, (-1, states.shape[3])).transpose(0, 1)[None]
        for row, states in zip(
            rows.split([block.shape[2] for block in blocks], dim=1),
            (query, key, value),
            strict=True,
        )
    )
    return query, key, value


def to_slices(out: Tensor, group: SequenceGroup) -> Tensor:
    """Exchange some heads of the whole row, [1, T, H / N, E], for all of a slice, [1, t, H, E].

    Args:
        out: [1, T, H / N, E].
        group: the N processes that share the row.
    """
    blocks = out[0].unflatten(0, (group.size, -1))  # [N, t, H / N, E]
    return all_to_all(blocks, group).transpose(0, 1).flatten(1, 2)[None]


def _blocks(states: Tensor, size: int) -> Tensor:
    """What each process gets of a slice: [1, H, t, E] to [N, t, H / N x E]."""
    return states[0].unflatten(0, (size, -1)).transpose(1, 2).flatten(2)
