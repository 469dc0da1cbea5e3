"""`update`: one optimizer step of a run, from given micro-batches.

    count -> survey -> forward, backward of each micro-batch -> gradient norm -> hooks -> optimizer

Where the micro-batches come from is a loop's to say; see loops.py.
"""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from xtune.engine.rank_stats import RankStats, WorkTimer
from xtune.engine.surveying import take_survey
from xtune.errors import TrainingError
from xtune.models.algorithms.shares import require_counted, require_shares, weight_of
from xtune.parallel.progress import enter
from xtune.parallel.slices import slice_of
from xtune.structures import Batch

if TYPE_CHECKING:
    from xtune.engine.run import Run

__all__ = ["StepResult", "update"]


# What a line of metrics.jsonl has besides what the algorithm returns; see `MetricsHook`
_OWN_METRICS = frozenset(
    {"step", "lr", "grad_norm", "tokens", "trained_tokens", "peak_memory_mb", "time", "val_loss"}
)


@dataclass(frozen=True, slots=True)
class StepResult:
    """What an optimizer step has come to.

    Attributes:
        shares: name -> what the algorithm returned under it, summed over the step's micro-batches
            and all processes; 'loss' among them.
        grad_norm: 2-norm of all gradients, before clipping.
        metrics: the step's line of metrics.jsonl; see `MetricsHook`.
    """

    shares: dict[str, float]
    grad_norm: float
    metrics: dict[str, Any]


def update(run: Run, batches: Sequence[Batch], *, began: float | None = None) -> StepResult:
    """Let the optimizer step once, on micro-batches that this process is given.

    What the algorithm returns of a micro-batch are shares of sums: a number that is not yet a mean
    over the step, but this micro-batch's part of one. So they are added up, over micro-batches and
    processes, and any split of the same data gives the same numbers:

        accuracy of 8 answers, 5 of them right       right / normalizer, which is 8 for each
            4 micro-batches of 2                     1/8 + 2/8 + 0/8 + 2/8 = 5/8
            2 processes, each 2 micro-batches of 2   (1/8 + 2/8) + (0/8 + 2/8) = 5/8

    All processes call it together, each with as many micro-batches. `run.step` is the next one
    afterwards, and the hooks `before_train_iter` and `before_optimizer_step` have been called; the
    step is ended by `run.end_step`.

    Args:
        run: whose model is trained.
        batches: of this process, one or more. The processes of a sequence group have the same.
        began: `time.perf_counter()` at which the work on this step began, if that was before the
            call: with the loading of its batches.

    Raises:
        TrainingError: a hook ends the run, such as on a loss that is not a number; there are no
            batches, or another process has more of them.
        ModelError: the algorithm returns what cannot be added up, or counts what it trains as 0.
    """
    started = time.perf_counter() if began is None else began
    number = run.step + 1
    if not batches:
        raise TrainingError(
            f"step {number} has no micro-batches: a loop gives `update` one or more, and as many "
            "on each process. One that lacks a micro-batch takes a filler: "
            "xtune.data.collate.filler(batch)"
        )
    run.longest = max(batch.tokens for batch in batches)
    run.call_hooks("before_train_iter", batches)
    loading_s = time.perf_counter() - started
    strategy = run.strategy
    sequence = run.sequence
    # All processes of a group have the same batches: one of them counts.
    own = [batch for batch in batches if not batch.is_filler and sequence.rank == 0]
    micro_batches, *counted, normalizer = run.world.sum(
        [
            len(batches),
            sum(batch.tokens for batch in own),
            sum(batch.trained_tokens for batch in own),
            run.throughput.flops(own),
            sum(weight_of(run.model, batch) for batch in own),
        ]
    )
    if micro_batches != len(batches) * run.world.size:  # exchanges of gradients would not meet
        raise TrainingError(
            f"step {number} has {int(micro_batches)} micro-batches, {len(batches)} of them on this "
            f"process of {run.world.size}: a loop gives each as many. One that lacks a micro-batch "
            "takes a filler: xtune.data.collate.filler(batch)"
        )
    tokens, trained, flops = map(int, counted)
    enter("surveying the step", step=number)
    take_survey(run, batches)
    # Sums stay on the device: a GPU is waited for once a step, not once a micro-batch.
    sums: dict[str, torch.Tensor] = {}
    run.micro_losses = []
    work = WorkTimer(strategy.device)
    for count, batch in enumerate(batches, start=1):
        is_last = count == len(batches)
        own_slice = slice_of(batch, sequence)
        enter(f"forward {count}/{len(batches)}", step=number)
        outputs = strategy.forward(own_slice, normalizer=normalizer or 1, is_last=is_last)
        require_shares(type(run.model).__name__, outputs, taken=_OWN_METRICS)
        run.micro_losses.append(outputs["loss"].detach())
        if is_last:
            work.stop()
        exchange = ", all-reduce" if is_last and run.world.size > 1 else ""
        enter(f"backward {count}/{len(batches)}{exchange}", step=number)
        strategy.backward(outputs["loss"])
        for name, value in outputs.items():
            sums[name] = sums[name] + value.detach() if name in sums else value.detach()
    enter("gradient norm", step=number)
    norm = strategy.clip_grad_norm(run.max_norm)
    own_shares = {name: value.item() for name, value in sums.items()}
    memory_mb = peak_memory_mb(strategy.device)
    mine = RankStats([loading_s + work.seconds], [memory_mb], [own_shares["loss"]])
    shares, stats = run.share_sums.sum(own_shares, mine.padded(run.world))
    require_counted(type(run.model).__name__, loss=shares["loss"], normalizer=normalizer)
    run.spread = RankStats.of(stats)
    grad_norm = norm.item()
    run.call_hooks("before_optimizer_step", batches, shares["loss"], grad_norm)
    enter("optimizer", step=number)
    factor = run.schedule(run.step, run.max_steps)
    strategy.step(factor)
    run.step += 1
    run.tokens += tokens
    run.trained_tokens += trained
    seconds = time.perf_counter() - started
    metrics = {
        "step": run.step,
        **run.model.summary(shares),
        "lr": run.base_lr * factor,
        "grad_norm": grad_norm,
        "tokens": run.tokens,
        "trained_tokens": run.trained_tokens,
        **run.throughput.rates(tokens=tokens, trained=trained, flops=flops, seconds=seconds),
        "peak_memory_mb": peak_memory_mb(strategy.device),
        **(run.spread.metrics if run.world.size > 1 else {}),
        "time": time.time(),
    }
    return StepResult(shares, grad_norm, metrics)


def peak_memory_mb(device: torch.device) -> float:
    """Return the most memory held so far: of the GPU, or of the process where there is none."""
    if device.type == "cuda":
        held = torch.cuda.max_memory_allocated(device)
    else:
        unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return math.ceil(held / 2**20)
