"""A loop that draws its batches itself, an algorithm with more metrics, a hook that kills."""

from __future__ import annotations

import os
import signal

from xtune.engine.hooks.base import Hook
from xtune.engine.loops import Loop
from xtune.engine.update import update
from xtune.models import SupervisedFinetune


class PoolLoop(Loop):
    """Draws each step's two micro-batches from a pool of eight, by a number that it keeps."""

    accumulative_counts = 2

    def __init__(self, *, max_steps):
        self.max_steps = max_steps
        self.drawn = 3

    def total_steps(self, steps_per_epoch):
        return self.max_steps

    def run(self, run):
        pool = [batch for step in range(4) for batch in run.loader.step(step)]
        run.model.train()
        while not run.is_over:
            run.end_step(update(run, [self._draw(pool), self._draw(pool)]).metrics)

    def _draw(self, pool):
        self.drawn = (5 * self.drawn + 3) % 8  # each of the eight, and anew: 2 5 4 7 6 1 0 3
        return pool[self.drawn]

    def state_dict(self):
        return {"drawn": self.drawn}

    def load_state_dict(self, state):
        self.drawn = state["drawn"]


class Starved(PoolLoop):
    """Gives the first process no micro-batch, and every other one its two."""

    def run(self, run):
        pool = run.loader.step(0)
        update(run, pool if run.world.rank else [])


class Uneven(PoolLoop):
    """Gives the first process two micro-batches, and every other one a single one."""

    def run(self, run):
        pool = run.loader.step(0)
        update(run, pool[:1] if run.world.rank else pool)


class TwoMetrics(SupervisedFinetune):
    """Also says which share of the trained tokens has an even id, and which its rank has of it."""

    def forward(self, batch, *, normalizer):
        even = ((batch.labels >= 0) & (batch.labels % 2 == 0)).sum() / normalizer
        own = f"even_of_{os.environ.get('RANK', '0')}"
        return {**super().forward(batch, normalizer=normalizer), "even": even, own: even}


class KillOnceSaved(Hook):
    """As kill -9, after the first step that finds a checkpoint written."""

    def after_train_iter(self, runner, metrics):
        if runner.saved:
            os.kill(os.getpid(), signal.SIGKILL)
