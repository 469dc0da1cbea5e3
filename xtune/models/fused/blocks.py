"""Rows in blocks that stay in a processor's cache while several operations go over them.

An element-wise operation on a CPU waits for memory, not for arithmetic. One after the other over
whole tensors, a chain of them reads and writes memory each time; block by block only the first
reads it and only the last writes it.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from xtune.losses.devices import runs_on_cpu, steps_to_run

__all__ = ["row_blocks"]

_CACHED = 2**16  # numbers a core: with a handful of operands in fp32 about its second-level cache


def row_blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Cut tensors of as many rows each, [N, any width], into the same blocks of rows; views.

    On a GPU, whose kernels have a cost of their own, all rows are one block.
    """
    first = tensors[0]
    rows = len(first)
    if runs_on_cpu(first):
        widest = max(tensor.shape[1] for tensor in tensors)
        rows = max(1, _CACHED * torch.get_num_threads() // widest)
    if rows >= len(first):
        yield tensors
        return
    starts = range(0, len(first), rows)
    some = steps_to_run(starts, first)
    if some is starts:
        yield from zip(*(tensor.split(rows) for tensor in tensors), strict=True)
    else:
        yield from (tuple(tensor[start : start + rows] for tensor in tensors) for start in some)
