"""`SequenceGroup`: the processes that share each row of tokens, and what they exchange.

Consecutive ranks form a group; each takes a slice of every row (DeepSpeed-Ulysses, Jacobs et al.
2023). With 4 processes in groups of 2:

    rank             0  1   2  3
    group            0  0   1  1       the data know two takers, 0 and 1
    rank in it       0  1   0  1       slices of a row: its first and its second half

Shapes: N processes of a group, t tokens of a slice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed
from torch.autograd.function import once_differentiable

from xtune.errors import ConfigError
from xtune.parallel.world import TIMEOUT, World

__all__ = [
    "UNSHARED",
    "SequenceGroup",
    "all_to_all",
    "group_sum",
    "sequence_group",
]


@dataclass(frozen=True, slots=True)
class SequenceGroup:
    """The processes that share each row of tokens with this one.

    Attributes:
        rank: number of this process in its group, 0 to size - 1.
        size: how many share a row; 1: nothing is shared.
        number: of this group, 0 to count - 1.
        count: groups of the run.
        handle: torch's process group; None where nothing is shared.
    """

    rank: int = 0
    size: int = 1
    number: int = 0
    count: int = 1
    handle: Any = None

    @property
    def as_one(self) -> World:
        """The run as its data are shared out: a whole group takes what one process would.

        For ranks and sizes only; a sum over the run is its real World's.
        """
        return World(rank=self.number, size=self.count)


UNSHARED = SequenceGroup()


def sequence_group(world: World, size: int) -> SequenceGroup:
    """Form the groups of a run and return this process's; all processes must call it.

    Args:
        world: the processes of the run.
        size: how many share a row.

    Raises:
        ConfigError: the processes do not make whole groups.
    """
    if world.size % size:
        raise ConfigError(
            f"sequence_parallel_size={size} with {world.size} "
            f"{'process' if world.size == 1 else 'processes'}: the number of processes must be a "
            f"multiple of it. Start {size} or a multiple: NPROC_PER_NODE={size} xtune train CONFIG"
        )
    number, rank = divmod(world.rank, size)
    count = world.size // size
    if size == 1:
        return SequenceGroup(number=number, count=count)
    handle, _ = distributed.new_subgroups(group_size=size, timeout=TIMEOUT)
    return SequenceGroup(rank=rank, size=size, number=number, count=count, handle=handle)


def all_to_all(blocks: Tensor, group: SequenceGroup) -> Tensor:
    """Send block i to process i of the group and return what all sent here, by sender.

        rank 0 has  [a0 a1]        rank 0 gets  [a0 b0]
        rank 1 has  [b0 b1]        rank 1 gets  [a1 b1]

    Args:
        blocks: [N, …].
        group: of N processes; all must call it, and all must go backward through it.

    Returns:
        [N, …], differentiable: the gradients travel back the same way.
    """
    return _AllToAll.apply(blocks, group.handle)


class _AllToAll(torch.autograd.Function):
    """Its own transpose: what i sent to j comes back from j to i."""

    @staticmethod
    def forward(ctx: Any, blocks: Tensor, handle: Any) -> Tensor:
        ctx.handle = handle
        return _exchanged(blocks, handle)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _exchanged(gradient, ctx.handle), None


def _exchanged(blocks: Tensor, handle: Any) -> Tensor:
    blocks = blocks.contiguous()
    received = torch.empty_like(blocks)
    distributed.all_to_all_single(received, blocks, group=handle)
    return received


def group_sum(values: Tensor, group: SequenceGroup) -> Tensor:
    """Add a tensor up over the processes of a group; every one gets the same sum.

    Its gradient is the sum of what the processes' losses have by it: right when their losses add
    up to the loss, as they do in a run. What all of them compute alike from the sum is therefore
    in the loss `size` times; each returns its share:

        rank 0 has  a0        both get  s = a0 + a1        loss of rank 0    f(s) / 2
        rank 1 has  a1                                     loss of rank 1    f(s) / 2
        the gradient by a0 is f'(s) / 2 + f'(s) / 2, and so is that by a1

    Args:
        values: of the same shape and dtype on each process.
        group: all of its processes must call this, and all must go backward through it.

    Returns:
        The shape and dtype of `values`; `values` itself where nothing is shared.
    """
    return values if group.size == 1 else _GroupSum.apply(values, group.handle)


class _GroupSum(torch.autograd.Function):
    """Its own transpose: each process's part is in the sum of every one."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, handle: Any) -> Tensor:
        ctx.handle = handle
        return _added_up(values, handle)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _added_up(gradient, ctx.handle), None


def _added_up(values: Tensor, handle: Any) -> Tensor:
    total = values.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total, group=handle)
    return total
