"""`RankStats`: what differs between the processes of a run in one step.

The processes wait for each other in every step, so that a step takes all of them the same time.
What tells the slow one is its own work: the time until it has only the exchange of gradients left.
It rides along in the sum of the losses, which is taken anyway.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from xtune.parallel.world import World

__all__ = ["RankStats", "WorkTimer"]

_FIELDS = 3  # numbers of one process


@dataclass(frozen=True, slots=True)
class RankStats:
    """Numbers by rank.

    Attributes:
        work_s: seconds of own work, until the step's last backward pass.
        memory_mb: the most memory held so far.
        losses: its part of the step's loss.
    """

    work_s: list[float]
    memory_mb: list[float]
    losses: list[float]

    @classmethod
    def of(cls, shares: Sequence[float]) -> RankStats:
        """Take the sum over all processes of what `padded` gave each."""
        return cls(*(list(shares[field::_FIELDS]) for field in range(_FIELDS)))

    def padded(self, world: World) -> list[float]:
        """Return the numbers of one process in its place, and zeros in those of the others."""
        share = [0.0] * (_FIELDS * world.size)
        own = slice(_FIELDS * world.rank, _FIELDS * (world.rank + 1))
        share[own] = self.work_s[0], self.memory_mb[0], self.losses[0]
        return share

    @property
    def metrics(self) -> dict[str, float]:
        """What metrics.jsonl says of it."""
        return {
            "work_s_min": min(self.work_s),
            "work_s_max": max(self.work_s),
            "slowest_rank": _place_of_max(self.work_s),
            "peak_memory_mb_max": max(self.memory_mb),
            "fullest_rank": _place_of_max(self.memory_mb),
        }

    @property
    def ranks_without_a_loss(self) -> list[int]:
        """Ranks whose part of the loss is not a number."""
        return [rank for rank, loss in enumerate(self.losses) if not math.isfinite(loss)]


class WorkTimer:
    """Seconds from its making to `stop`, on a GPU as the GPU counts them.

    Args:
        device: where the work is done.
    """

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._started = time.perf_counter()
        self._begin = self._mark()

    def stop(self) -> None:
        """The work has been given out; a GPU may still be at it."""
        self._seconds = time.perf_counter() - self._started
        self._end = self._mark()

    @property
    def seconds(self) -> float:
        """How long it took; on a GPU only after it has been waited for."""
        if self._begin is None or self._end is None:
            return self._seconds
        return max(self._seconds, self._begin.elapsed_time(self._end) / 1000)

    def _mark(self) -> torch.cuda.Event | None:
        if not self._on_gpu:
            return None
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


def _place_of_max(values: list[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)
