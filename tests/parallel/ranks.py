"""The processes of a sequence group, as threads of this one with gloo between them.

results = on_every_rank(2, lambda group: all_to_all(blocks[group.rank], group))
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed

from xtune.parallel.sequence import SequenceGroup

__all__ = ["on_every_rank"]

Result = TypeVar("Result")


def on_every_rank(size: int, function: Callable[[SequenceGroup], Result]) -> list[Result]:
    """Call `function` for each rank at the same time; return what each call gave, by rank."""
    with ThreadPoolExecutor(size) as threads:
        return list(threads.map(function, _groups(size)))


@functools.cache
def _groups(size: int) -> list[SequenceGroup]:
    store = distributed.HashStore()

    def join(rank: int) -> SequenceGroup:
        handle = distributed.ProcessGroup(store, rank, size)
        gloo = distributed.ProcessGroupGloo(store, rank, size, timedelta(seconds=30))
        handle._register_backend(
            torch.device("cpu"), distributed.ProcessGroup.BackendType.GLOO, gloo
        )
        return SequenceGroup(rank=rank, size=size, handle=handle)

    with ThreadPoolExecutor(size) as threads:
        return list(threads.map(join, range(size)))
