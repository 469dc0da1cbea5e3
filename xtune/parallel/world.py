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

from xtune.errors import TrainingError, UsageError

__all__ = [
    "ALONE",
    "MEET_TIMEOUT",
    "TIMEOUT",
    "World",
    "join",
    "leave",
    "number_of_environment",
    "world_of_environment",
]

MEET_TIMEOUT = 600  # seconds in which all processes must have come; the environment may say else
# For one collective, in which others wait for a generation on rank 0, or for the data that it
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
    """Return what the launcher has told this process.

    Raises:
        UsageError: a variable is no number, RANK is missing, or not below WORLD_SIZE.
    """
    if "WORLD_SIZE" not in os.environ:
        return ALONE
    size = number_of_environment("WORLD_SIZE", 1)
    if not size:
        raise UsageError(
            "WORLD_SIZE=0: a run has 1 process or more; torchrun sets it, else unset it"
        )
    if size > 1 and "RANK" not in os.environ:
        raise UsageError(
            f"WORLD_SIZE={size}, but no RANK. torchrun sets both; to start the processes of this "
            f"host: unset WORLD_SIZE, and NPROC_PER_NODE={size} xtune train ..."
        )
    rank = number_of_environment("RANK", 0) if size > 1 else 0
    if rank >= size:
        raise UsageError(f"RANK={rank}, but WORLD_SIZE={size}: ranks go from 0 to {size - 1}")
    return World(rank=rank, size=size, local_rank=number_of_environment("LOCAL_RANK", 0))


def number_of_environment(name: str, default: int) -> int:
    """Return the whole number that an environment variable holds; `default` where it is not set.

    Args:
        name: of the variable.
        default: where it is not set.

    Raises:
        UsageError: it is no number.
    """
    given = os.environ.get(name) or str(default)
    if not (given.isascii() and given.isdecimal()):
        raise UsageError(
            f"{name}={given!r} is no number; torchrun and `xtune train` set it, else unset it"
        )
    return int(given)


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
        store=_store(world, number_of_environment("MEET_TIMEOUT", MEET_TIMEOUT)),
        rank=world.rank,
        world_size=world.size,
        timeout=TIMEOUT,
    )
    return True


def _store(world: World, seconds: int) -> Any:
    """The store at MASTER_ADDR:MASTER_PORT, once all processes are there."""
    from torch import distributed

    address, port = os.environ.get("MASTER_ADDR"), number_of_environment("MASTER_PORT", 0)
    if not address or not port:
        raise UsageError(
            f"WORLD_SIZE={world.size}, but no MASTER_ADDR and MASTER_PORT: where the processes "
            "meet. torchrun and `xtune train` with NPROC_PER_NODE set them"
        )
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
