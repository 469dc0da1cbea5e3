"""Loops: each says where the micro-batches of an optimizer step come from, and how many steps.

A loop is not much more than this, with batches from wherever it likes:

    while not run.is_over:
        result = update(run, batches)       engine/update.py
        run.end_step(result.metrics)
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch

from xtune.engine.rng import preserved_rng
from xtune.engine.surveying import surveys, take_survey
from xtune.engine.update import update
from xtune.errors import ConfigError
from xtune.models.algorithms.shares import weight_of
from xtune.parallel.progress import beat, enter
from xtune.parallel.slices import slice_of
from xtune.registry import TRAIN_LOOPS

if TYPE_CHECKING:
    from xtune.engine.run import Run
    from xtune.structures import Batch

__all__ = ["Loop", "TrainLoop", "validation_metrics"]


class Loop(ABC):
    """Goes through the steps of a run, as a sheet's `train_cfg` names it.

    Attributes:
        accumulative_counts: micro-batches that the run's loader gives for a step.
    """

    accumulative_counts: int = 1

    @abstractmethod
    def total_steps(self, steps_per_epoch: int | None) -> int:
        """Return how many optimizer steps the run has.

        Args:
            steps_per_epoch: of the training data; None: nobody knows, they are streamed.

        Raises:
            ConfigError: the sheet does not say.
        """

    @abstractmethod
    def run(self, run: Run) -> None:
        """Train from `run.step` to the last step, or until the run is told to stop.

        All processes take as many steps: `run.is_over` is the same on all after `run.end_step`.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must give back to this loop: JSON values and tensors.

        It is saved between two steps, and is the main process's, for all.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027 - most have none
        """Take back what `state_dict` returned; {} where a checkpoint has none."""


@TRAIN_LOOPS.register_module()
class TrainLoop(Loop):
    """Counts optimizer steps; the micro-batches that one accumulates over are inside it.

    Args:
        max_epochs: passes over the data.
        max_steps: optimizer steps; overrides max_epochs.
        accumulative_counts: micro-batches a step.
        val_interval: steps between two measurements of the validation loss, which is also
            measured after the last step; None: only then.
    """

    def __init__(
        self,
        *,
        max_epochs: int | None = None,
        max_steps: int | None = None,
        accumulative_counts: int = 1,
        val_interval: int | None = None,
    ) -> None:
        if max_epochs is None and max_steps is None:
            raise ConfigError("train_cfg has neither max_epochs nor max_steps; set one of them")
        for name, value in (
            ("max_epochs", max_epochs),
            ("max_steps", max_steps),
            ("accumulative_counts", accumulative_counts),
            ("val_interval", val_interval),
        ):
            if value is not None and value < 1:
                raise ConfigError(f"train_cfg.{name} is {value!r}; it is 1 or more")
        self.max_epochs = max_epochs
        self.max_steps = max_steps
        self.accumulative_counts = accumulative_counts
        self.val_interval = val_interval

    def total_steps(self, steps_per_epoch: int | None) -> int:
        """Return how many optimizer steps the run has.

        Args:
            steps_per_epoch: of the training data; None: nobody knows, they are streamed.

        Raises:
            ConfigError: the epochs of a streamed data set, whose length nobody knows.
        """
        if self.max_steps is not None:
            return self.max_steps
        assert self.max_epochs is not None
        if steps_per_epoch is None:
            raise ConfigError(
                "train_cfg.max_epochs: streamed data have no known length, so that an epoch "
                "of them has no number of steps: set max_steps"
            )
        return self.max_epochs * steps_per_epoch

    def run(self, run: Run) -> None:  # noqa: D102
        run.model.train()
        run.agree_to_end()  # it may have been told so before the first step
        while not run.is_over:
            began = time.perf_counter()
            enter("loading the batches", step=run.step + 1)
            batches = run.loader.step(run.step)
            metrics = update(run, batches, began=began).metrics
            if self._validates_at(run):
                enter("validation loss", step=run.step)
                metrics |= validation_metrics(run)
            run.end_step(metrics)

    def _validates_at(self, run: Run) -> bool:
        if run.val_loader is None:
            return False
        due = self.val_interval is not None and run.step % self.val_interval == 0
        return due or run.step == run.max_steps


@torch.no_grad()
def validation_metrics(run: Run) -> dict[str, float]:
    """Return what the algorithm measures of the validation data, as `val_loss` and so on.

    Each is a mean over all that it counts there: trained tokens by their weights, prompts. What an
    algorithm surveys of a step it surveys of all these data here, so that no split changes it.
    """
    assert run.val_loader is not None
    sums: dict[str, float] = {}
    weight = 0.0
    run.model.eval()
    with preserved_rng():
        steps = run.val_loader.steps_per_epoch
        assert steps is not None
        rounds: Iterable[list[Batch]] = map(run.val_loader.step, range(steps))
        if surveys(run.model):
            rounds = list(rounds)
            take_survey(run, [batch for batches in rounds for batch in batches])
        for step, batches in enumerate(rounds):
            beat(f"{step}/{steps}")
            for batch in batches:
                own = slice_of(batch, run.sequence)
                for name, share in run.strategy.forward(own, normalizer=1).items():
                    sums[name] = sums.get(name, 0.0) + share.item()
                # As in training: of a whole batch, by one process of a group.
                if run.sequence.rank == 0 and not batch.is_filler:
                    weight += weight_of(run.model, batch)
    run.model.train()
    sums, (weight,) = run.share_sums.sum(sums, [weight])
    means = {name: value / (weight or 1) for name, value in sums.items()}
    return {f"val_{name}": value for name, value in run.model.summary(means).items()}
