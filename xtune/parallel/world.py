"""`World`: which of how many processes this one is, and sums over all of them.

torchrun, and `xtune train` with NPROC_PER_NODE or NNODES, tell each process by RANK, WORLD_SIZE and
LOCAL_RANK; alone, none of them is set.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from xtune.errors import TrainingError

__all__ = ["ALONE", "MEET_TIMEOUT", "TIMEOUT", "World", "join", "leave", "world_of_environment"]

MEET_TIMEOUT = 600  # seconds in which all processes must have come; the environment may say else
# Of one collective, in which others wait for a generation on rank 0, or for the data that it
# prepares: for ever. What hangs or is lost is the watchdog's to find.
TIMEOUT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class World:
    """The processes of a run.

    Attributes:
        rank: number of this process, 0 to size - 1.
        size: how many there are.
        local_rank: number of this process on its host; its GPU has the same.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this process logs and writes."""
        return self.rank == 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """Add numbers up over all processes; exact for integers below 2**53."""
        if self.size == 1:
            return list(values)
        import torch
        from torch import distributed

        total = torch.tensor(list(values), dtype=torch.float64)
        distributed.all_reduce(total)
        return list(total.tolist())

    def gather(self, value: Any) -> list[Any]:
        """Return every process's `value`, by rank; plain values and tensors of this run's own."""
        if self.size == 1:
            return [value]
        from torch import distributed

        values: list[Any] = [None] * self.size
        distributed.all_gather_object(values, value)
        return values

    def from_main(self, value: Any) -> Any:
        """Return the main process's `value`."""
        return self.gather(value)[0]

    def wait(self) -> None:
        """Wait until all have come here."""
        if self.size > 1:
            from torch import distributed

            distributed.barrier()


ALONE = World()


def world_of_environment() -> World:
    """Return what the launcher has told this process."""
    if "WORLD_SIZE" not in os.environ:
        return ALONE
    return World(
        rank=int(os.environ["RANK"]),
        size=int(os.environ["WORLD_SIZE"]),
        local_rank=int(os.environ.get("LOCAL_RANK", 0)),
    )


def join(world: World) -> bool:
    """Meet the other processes; NCCL for tensors on GPUs, gloo for those in the host's memory.

    Returns:
        Whether this call did it, and `leave` is to follow: not where there is but one process,
        nor where the processes have met already.

    Raises:
        TrainingError: not all came within $MEET_TIMEOUT seconds.
    """
    if world.size == 1:
        return False
    import torch
    from torch import distributed

    if distributed.is_initialized():
        return False
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(world.local_rank)
    backends = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    distributed.init_process_group(
        backends,
        store=_store(world, int(os.environ.get("MEET_TIMEOUT") or MEET_TIMEOUT)),
        rank=world.rank,
        world_size=world.size,
        timeout=TIMEOUT,
    )
    return True


def _store(world: World, seconds: int) -> Any:
    """The store at MASTER_ADDR:MASTER_PORT, once all processes are there."""
    from torch import distributed

    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    keys = [f"xtune/here/{rank}" for rank in range(world.size)]
    limit = timedelta(seconds=seconds)
    # Under torchrun its agent on the first host holds the store, under srun rank 0 does.
    holds_it = world.is_main and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    try:
        store = distributed.TCPStore(
            address, port, is_master=holds_it, timeout=limit, wait_for_workers=False
        )
    except distributed.DistError as error:
        raise TrainingError(
            f"rank {world.rank} of {world.size} did not get through to {address}:{port} within "
            f"{seconds} s. Start rank 0 there, or open the port; MEET_TIMEOUT={2 * seconds} waits "
            "longer"
        ) from error
    store.set(keys[world.rank], "")
    try:
        store.wait(keys, limit)
    except distributed.DistError as error:
        missing = [rank for rank, key in enumerate(keys) if not store.check([key])]
        listed = ", ".join(map(str, missing[:8])) + (" ..." if len(missing) > 8 else "")
        here = f"{world.size - len(missing)} of {world.size} processes"
        raise TrainingError(
            f"{here} came to {address}:{port} within {seconds} s, not rank {listed}. Their hosts "
            f"say why; MEET_TIMEOUT={2 * seconds} waits longer"
        ) from error
    store.set_timeout(TIMEOUT)  # its later users wait as long as a collective does
    return store


def leave(*, all_are_done: bool) -> None:
    """Part from the other processes; wait for them first if all come here."""
    from torch import distributed

    if all_are_done:
        distributed.barrier()
    # Gloo's destructor holds Python's lock and joins a thread that may be waiting for that lock to
    # drop its last tensor (torch 2.13). Asleep, this thread gives it away.
    time.sleep(0.5)
    distributed.destroy_process_group()
