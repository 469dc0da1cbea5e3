"""The loop over optimizer steps."""

from __future__ import annotations

import math
import resource
import sys
import time
from typing import TYPE_CHECKING, Any

import torch

from xtune.engine.rank_stats import RankStats, WorkTimer
from xtune.engine.rng import preserved_rng
from xtune.errors import ConfigError
from xtune.parallel.progress import beat, enter
from xtune.parallel.slices import slice_of
from xtune.registry import TRAIN_LOOPS

if TYPE_CHECKING:
    from xtune.engine.runner import Runner

__all__ = ["TrainLoop"]


@TRAIN_LOOPS.register_module()
class TrainLoop:
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

        Raises:
            ConfigError: the epochs of a streamed data set, whose length nobody knows.
        """
        if self.max_steps is not None:
            return self.max_steps
        assert self.max_epochs is not None
        if steps_per_epoch is None:
            raise ConfigError(
                "how long an epoch of streamed data is nobody knows before its end: set max_steps"
            )
        return self.max_epochs * steps_per_epoch

    def run(self, runner: Runner) -> None:
        """Train from `runner.step` to the last step, or until the runner is told to stop."""
        runner.model.train()
        runner.agree_to_end()  # it may have been told so before the first step
        while not runner.is_over:
            metrics = self._train_step(runner)
            if self._validates_at(runner):
                enter("validation loss", step=runner.step)
                metrics["val_loss"] = validation_loss(runner)
            runner.metrics = metrics
            enter("hooks after the step", step=runner.step)
            runner.call_hooks("after_train_iter", metrics)
            runner.take_saved()
            enter("agreeing to go on", step=runner.step)
            runner.agree_to_end()

    def _train_step(self, runner: Runner) -> dict[str, Any]:
        started = time.perf_counter()
        number = runner.step + 1
        enter("loading the batches", step=number)
        batches = runner.loader.step(runner.step)
        runner.longest = max(batch.tokens for batch in batches)
        runner.call_hooks("before_train_iter", batches)
        loading_s = time.perf_counter() - started
        strategy = runner.strategy
        sequence = runner.sequence
        # All processes of a group have the same batches: one of them counts.
        own = [batch for batch in batches if not batch.is_filler and sequence.rank == 0]
        *counted, normalizer = runner.world.sum(
            [
                sum(batch.tokens for batch in own),
                sum(batch.trained_tokens for batch in own),
                runner.throughput.flops(own),
                sum(batch.trained_weight for batch in own),
            ]
        )
        tokens, trained, flops = map(int, counted)
        # Sums stay on the device: a GPU is waited for once a step, not once a micro-batch.
        sums: dict[str, torch.Tensor] = {}
        runner.micro_losses = []
        work = WorkTimer(strategy.device)
        for count, batch in enumerate(batches, start=1):
            is_last = count == len(batches)
            own_slice = slice_of(batch, sequence)
            enter(f"forward {count}/{len(batches)}", step=number)
            outputs = strategy.forward(own_slice, normalizer=normalizer or 1, is_last=is_last)
            runner.micro_losses.append(outputs["loss"].detach())
            if is_last:
                work.stop()
            exchange = ", all-reduce" if is_last and runner.world.size > 1 else ""
            enter(f"backward {count}/{len(batches)}{exchange}", step=number)
            strategy.backward(outputs["loss"])
            for name, value in outputs.items():
                sums[name] = sums[name] + value.detach() if name in sums else value.detach()
        enter("gradient norm", step=number)
        norm = strategy.clip_grad_norm(runner.max_norm)
        shares = {name: value.item() for name, value in sums.items()}
        memory_mb = peak_memory_mb(strategy.device)
        mine = RankStats([loading_s + work.seconds], [memory_mb], [shares["loss"]])
        totals = runner.world.sum([*shares.values(), *mine.padded(runner.world)])
        values = dict(zip(shares, totals, strict=False))
        runner.spread = RankStats.of(totals[len(shares) :])
        grad_norm = norm.item()
        runner.call_hooks("before_optimizer_step", batches, values["loss"], grad_norm)
        enter("optimizer", step=number)
        factor = runner.schedule(runner.step, runner.max_steps)
        strategy.step(factor)
        runner.step += 1
        runner.tokens += tokens
        runner.trained_tokens += trained
        seconds = time.perf_counter() - started
        return {
            "step": runner.step,
            **values,
            "lr": runner.base_lr * factor,
            "grad_norm": grad_norm,
            "tokens": runner.tokens,
            "trained_tokens": runner.trained_tokens,
            **runner.throughput.rates(tokens=tokens, trained=trained, flops=flops, seconds=seconds),
            "peak_memory_mb": peak_memory_mb(strategy.device),
            **(runner.spread.metrics if runner.world.size > 1 else {}),
            "time": time.time(),
        }

    def _validates_at(self, runner: Runner) -> bool:
        if runner.val_loader is None:
            return False
        due = self.val_interval is not None and runner.step % self.val_interval == 0
        return due or runner.step == runner.max_steps


@torch.no_grad()
def validation_loss(runner: Runner) -> float:
    """Return the mean loss over all trained tokens of the validation data, by their weights."""
    assert runner.val_loader is not None
    total, weight = 0.0, 0.0
    runner.model.eval()
    with preserved_rng():
        steps = runner.val_loader.steps_per_epoch
        assert steps is not None
        for step in range(steps):
            beat(f"{step}/{steps}")
            for batch in runner.val_loader.step(step):
                own = slice_of(batch, runner.sequence)
                total += runner.strategy.forward(own, normalizer=1)["loss"].item()
                weight += own.trained_weight
    runner.model.train()
    total, weight = runner.world.sum([total, weight])
    return total / (weight or 1)


def peak_memory_mb(device: torch.device) -> float:
    """Return the most memory held so far: of the GPU, or of the process where there is none."""
    if device.type == "cuda":
        held = torch.cuda.max_memory_allocated(device)
    else:
        unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return math.ceil(held / 2**20)
