"""`Machine`: what a strategy needs that is one for its whole process, whatever models run in it.

    device, precision      where the process computes, and in what: measured once
    denormals, heap        modes of the processor and of the allocator, while any model runs
    process group          of one process, for a library that asks for one where none was started

Several strategies may run in one process, each with a model of its own: what one of them gives
back stays for the others.
"""

from __future__ import annotations

import atexit
from functools import cache
from typing import ClassVar
from weakref import WeakSet

import torch
from torch import distributed

from xtune.engine.strategies.malloc import keep_freed_memory
from xtune.models.precision import Precision, choose_precision
from xtune.parallel.world import World

__all__ = ["Machine"]


class Machine:
    """The process of a strategy.

    Args:
        world: the processes of the run.
        precision: 'auto' (measured), 'fp32', 'bf16' or 'fp16'.
        device: 'cpu', 'cuda', 'cuda:1'; None: the GPU if there is one.

    Attributes:
        world: as given.
        device: where this process computes.
        precision: what it computes in.
    """

    # Those of this process that are in use: a mode of the processor is one for all of them.
    _open: ClassVar[WeakSet[Machine]] = WeakSet()

    def __init__(self, world: World, *, precision: str = "auto", device: str | None = None) -> None:
        self.world = world
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        # Measured by one process: two that come out differently would not train the same model.
        self.precision: Precision = world.from_main(_measured(str(self.device), precision))

    def open(self) -> None:
        """Set the process up to compute; as often as one likes, until `close`."""
        if self.device.type == "cpu":
            # Vanishing gradients become denormals, on which a CPU computes ~100 times slower.
            torch.set_flush_denormal(True)
            keep_freed_memory()
        Machine._open.add(self)

    def require_group(self) -> None:
        """Make a process group of this one process, where the launcher has made none.

        It lasts as long as the process: DeepSpeed keeps the first group that it has seen, and a
        second model, such as what follows a reference, could not be trained in another one.
        """
        if not distributed.is_initialized():
            distributed.init_process_group(
                "nccl" if self.device.type == "cuda" else "gloo",
                store=distributed.HashStore(),
                rank=0,
                world_size=1,
            )
            atexit.register(distributed.destroy_process_group)

    def close(self) -> None:
        """Give back what was set up, if no other strategy of this process still runs."""
        Machine._open.discard(self)
        if Machine._open:
            return
        torch.set_flush_denormal(False)


@cache
def _measured(device: str, precision: str) -> Precision:
    return choose_precision(device, precision)
