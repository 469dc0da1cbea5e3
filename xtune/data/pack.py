"""Fill packs of at most `length` tokens with whole samples: best fit, in a shuffled order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xtune.errors import DataError

__all__ = ["pack"]


def pack(lengths: Sequence[int] | np.ndarray, *, length: int) -> list[list[int]]:
    """Distribute samples over packs, each sample whole.

    The samples are taken in a shuffled order; each goes to the pack with the least room that
    still takes it, else opens a new one. Longest first would need no more than one pack in a
    hundred less, and would put samples of one length, so often of one kind, into one step. The
    free room of all open packs is one set of integers below `length`, held as the bits of a
    single number: the smallest room of at least n is its lowest bit from n on. So 50,000 samples
    take a fraction of a second.

    >>> sorted(map(sorted, pack([3, 5, 2, 6], length=8)))
    [[0, 2], [1], [3]]

    Args:
        lengths: tokens of each sample, at least 1.
        length: tokens of a pack.

    Returns:
        Lists of indices into `lengths`; each index stands in exactly one. The same lengths give
        the same packs, always.

    Raises:
        DataError: a sample is longer than a pack; gives its index and size.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    if lengths.size and int(lengths.max()) > length:
        index = int(lengths.argmax())
        raise DataError(
            f"sample {index} has {lengths[index]} tokens, a pack has room for {length}: "
            "cut it when tokenising (max_length), or give a larger length"
        )
    packs: list[list[int]] = []
    with_room: list[list[int]] = [[] for _ in range(length + 1)]  # open packs by free room
    rooms = 0  # bit r is set when some open pack has r tokens free
    order = np.random.default_rng(0).permutation(len(lengths))
    for index, size in zip(order.tolist(), lengths[order].tolist(), strict=True):
        fitting = rooms >> size
        if fitting:
            room = size + (fitting & -fitting).bit_length() - 1
            chosen = with_room[room].pop()
            if not with_room[room]:
                rooms &= ~(1 << room)
            packs[chosen].append(index)
        else:
            room = length
            chosen = len(packs)
            packs.append([index])
        left = room - size
        if left:
            with_room[left].append(chosen)
            rooms |= 1 << left
    return packs
