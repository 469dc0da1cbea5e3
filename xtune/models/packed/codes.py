"""Small whole numbers, packed into 32-bit words, and the weights that they stand for.

    weight = (code - zero) * scale        zero and scale belong to a group of inputs of an output

The first code lies in a word's lowest bits. Codes of 3 bits go on over the end of a word: 32 of
them fill three.

Shapes: I inputs, O outputs, G groups, W words.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["AWQ_ORDER", "unpack", "weights"]

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""Which of eight neighbours lies at each place of a word, from the lowest bits, in AWQ's files."""


def unpack(words: Tensor, bits: int, dim: int) -> Tensor:
    """Return the codes along one dimension.

    >>> unpack(torch.tensor([[0x76543210]]), 4, 1).tolist()
    [[0, 1, 2, 3, 4, 5, 6, 7]]
    >>> unpack(torch.tensor([[0b11_010_001], [0], [0]]), 3, 0)[:4, 0].tolist()
    [1, 2, 3, 0]

    Args:
        words: int32 [W, N] or [N, W].
        bits: of a code: 2, 3, 4 or 8.
        dim: along which they are packed, 0 or 1.

    Returns:
        uint8, that dimension 32 / bits times as long.
    """
    apart = words.unsqueeze(dim + 1)  # [W, 1, N] or [N, W, 1]
    if 32 % bits:
        return _unpack_over_ends(words, bits, dim)
    shifts = torch.arange(0, 32, bits, dtype=words.dtype, device=words.device)
    shifts = shifts[:, None] if dim == 0 else shifts
    codes = apart.bitwise_right_shift(shifts).bitwise_and_(2**bits - 1)
    return codes.to(torch.uint8).flatten(dim, dim + 1)


def _unpack_over_ends(words: Tensor, bits: int, dim: int) -> Tensor:
    """Codes that do not end where a word does: each is found in two words."""
    whole = words.to(torch.int64).bitwise_and(0xFFFFFFFF).unflatten(dim, (-1, bits))
    first = torch.arange(32, device=words.device) * bits
    word, shift = first // 32, first % 32
    following = whole.index_select(dim + 1, (word + 1).clamp(max=bits - 1))
    low = whole.index_select(dim + 1, word)
    shift = shift[:, None] if dim == 0 else shift
    codes = (low >> shift) | (following << (32 - shift))
    return codes.bitwise_and_(2**bits - 1).to(torch.uint8).flatten(dim, dim + 1)


def weights(codes: Tensor, zeros: Tensor | int, scales: Tensor, groups: Tensor | None) -> Tensor:
    """Return the weights that codes stand for, in fp32: the product of both is exact in it.

    Args:
        codes: uint8 [I, O].
        zeros: uint8 [G, O], or one for all.
        scales: [G, O].
        groups: [I] the group of each input; None: as many one after the other to each group.

    Returns:
        fp32 [I, O].
    """
    scales = scales.float()
    if not isinstance(zeros, int):
        zeros = zeros.float()
    if groups is not None:
        picked = groups.long()
        zeros = zeros if isinstance(zeros, int) else zeros[picked]
        return (codes.float() - zeros).mul_(scales[picked])
    apart = codes.unflatten(0, (scales.shape[0], -1)).float()
    if not isinstance(zeros, int):
        zeros = zeros[:, None]
    return apart.sub_(zeros).mul_(scales[:, None]).flatten(0, 1)
