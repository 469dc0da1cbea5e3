"""`StepLoader`: which items make which optimizer step, as a pure function of the step."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache

import numpy as np

from xtune.data.collate import filler
from xtune.data.protocol import Items
from xtune.parallel.world import ALONE, World
from xtune.structures import Batch

__all__ = ["StepLoader"]

_AHEAD = 2  # optimizer steps that are prepared while one is computed


class StepLoader:
    """The micro-batches of each optimizer step.

    An epoch visits every item once. Its order follows from (seed, epoch) alone, so to resume is
    to go on with the next step's number. The last step of an epoch takes the items that are left.

    Several processes share every step, each with as many micro-batches as any other: one that has
    fewer gets a filler, of which nothing is trained. They run micro-batches of about as many tokens
    at the same time, so that none waits for long.

    Attributes:
        steps_per_epoch: optimizer steps.
        items_per_step: items that all processes take in a step.
        report: what became of the data set's rows.

    Args:
        dataset: items to visit.
        batch_size: items of a micro-batch.
        accumulative_counts: micro-batches of a step.
        seed: of the order.
        shuffle: visit in another order each epoch, or always from first to last.
        num_workers: threads that prepare the next steps; 0 for none.
        world: the processes that share the steps.
        first_epoch: the number of the first epoch, of which the order follows.
    """

    def __init__(
        self,
        dataset: Items,
        *,
        batch_size: int,
        accumulative_counts: int,
        seed: int,
        shuffle: bool = True,
        num_workers: int = 0,
        world: World = ALONE,
        first_epoch: int = 0,
    ) -> None:
        self._dataset = dataset
        self._first_epoch = first_epoch
        self._batch_size = batch_size
        self.items_per_step = batch_size * accumulative_counts * world.size
        self._world = world
        self._seed = seed
        self._shuffle = shuffle
        self._pool = ThreadPoolExecutor(num_workers) if num_workers else None
        self._ahead: dict[int, Future[list[Batch]]] = {}
        self.steps_per_epoch = -(-len(dataset) // self.items_per_step)
        self.report = dataset.report

    def state_dict(self) -> dict[str, int]:
        """Return nothing: a step's number says all."""
        return {}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Take what `state_dict` gave."""

    def items(self, step: int) -> list[list[int]]:
        """Return the items of each micro-batch of a step, of all processes.

        Args:
            step: counts optimizer steps from 0 over all epochs.
        """
        epoch, place = divmod(step, self.steps_per_epoch)
        epoch += self._first_epoch
        order = _order(len(self._dataset), self._seed, epoch if self._shuffle else None)
        chosen = order[place * self.items_per_step : (place + 1) * self.items_per_step].tolist()
        return [
            chosen[start : start + self._batch_size]
            for start in range(0, len(chosen), self._batch_size)
        ]

    def step(self, step: int) -> list[Batch]:
        """Return this process's micro-batches of a step: `accumulative_counts`, or fewer in the
        last one of an epoch.
        """
        if self._pool is None:
            return self._load(step)
        wanted = range(step, step + 1 + _AHEAD)
        self._ahead = {n: future for n, future in self._ahead.items() if n in wanted}
        for number in wanted:
            if number not in self._ahead:
                self._ahead[number] = self._pool.submit(self._load, number)
        return self._ahead.pop(step).result()

    def _load(self, step: int) -> list[Batch]:
        everyones = self.items(step)
        if self._world.size > 1:
            everyones = self._longest_first(everyones)
        mine = everyones[self._world.rank :: self._world.size]
        batches = [self._dataset.batch(items) for items in mine]
        if len(mine) < -(-len(everyones) // self._world.size):
            batches.append(filler(self._dataset.batch(everyones[0])))
        return batches

    def _longest_first(self, micro_batches: list[list[int]]) -> list[list[int]]:
        """Order a step's micro-batches so that each round of all processes has even ones.

        tokens   9 8 | 7 5 | 4 1      of two processes the first has 9 + 5 + 4, the other
        rounds   9 8 | 5 7 | 4 1      8 + 7 + 1: every second round is turned round
        """
        by_size = sorted(
            micro_batches, key=lambda items: -sum(map(self._dataset.item_tokens, items))
        )
        size = self._world.size
        rounds = [by_size[start : start + size] for start in range(0, len(by_size), size)]
        for number, one in enumerate(rounds):
            if number % 2 and len(one) == size:
                one.reverse()
        return [items for one in rounds for items in one]


@lru_cache(maxsize=4)
def _order(count: int, seed: int, epoch: int | None) -> np.ndarray:
    """The order of an epoch, int64 [count]; None: from first to last."""
    if epoch is None:
        return np.arange(count)
    return np.random.default_rng((seed, epoch)).permutation(count)
