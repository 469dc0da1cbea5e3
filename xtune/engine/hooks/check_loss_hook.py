"""Stops a run whose loss is not a number, before the weights take it in."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from xtune.engine.hooks.base import Hook
from xtune.errors import TrainingError
from xtune.registry import HOOKS
from xtune.structures import IGNORE_INDEX, Batch

if TYPE_CHECKING:
    from xtune.engine.runner import Runner

__all__ = ["CheckLossHook"]


@HOOKS.register_module()
class CheckLossHook(Hook):
    """Ends the run with the step's batch written aside: work_dir/nan_batch_step_N.json.

    It looks before the optimizer steps, so the checkpoints, and the weights in memory, are those
    of the last good step.
    """

    on_every_process = True

    def before_optimizer_step(
        self, runner: Runner, batches: list[Batch], loss: float, grad_norm: float
    ) -> None:
        """Raise TrainingError where the loss or the gradients are not finite."""
        # With fp16 loss scaling an infinite gradient only means: skip this step, scale less.
        expected = runner.strategy.precision.loss_scaling
        if math.isfinite(loss) and (math.isfinite(grad_norm) or expected):
            return
        step = runner.step + 1
        path = runner.work_dir / f"nan_batch_step_{step}.json"
        aside = {
            "step": step,
            "loss": repr(loss),
            "grad_norm": repr(grad_norm),
            "micro_batches": [_documents(runner, batch) for batch in batches],
        }
        path.write_text(json.dumps(aside, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        what = f"the loss is {loss}" if not math.isfinite(loss) else f"the gradient is {grad_norm}"
        raise TrainingError(
            f"{what} at step {step}; the weights were not touched. Its batch is in {path}. "
            "Look for broken rows there, lower lr, or set strategy.precision='fp32', then go on "
            "with --resume"
        )


def _documents(runner: Runner, batch: Batch) -> list[dict[str, Any]]:
    bounds = batch.cu_seqlens.tolist()
    documents = []
    for index, (start, end) in enumerate(zip(bounds, bounds[1:], strict=False)):
        ids = batch.input_ids[0, start:end].tolist()
        labels = batch.labels[0, start:end]
        documents.append(
            {
                "sample": batch.samples[index] if index < len(batch.samples) else None,
                "text": runner.tokenizer.decode(ids),
                "trained_tokens": int((labels != IGNORE_INDEX).sum()),
                "input_ids": ids,
                "labels": labels.tolist(),
            }
        )
    return documents
