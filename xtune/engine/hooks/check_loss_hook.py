"""Stops a run whose loss is not a number, before the weights take it in; warns of a strange one."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from xtune.engine.hooks.base import Hook
from xtune.errors import TrainingError
from xtune.registry import HOOKS
from xtune.structures import IGNORE_INDEX, Batch

if TYPE_CHECKING:
    from xtune.engine.run import Run

__all__ = ["CheckLossHook"]

_EXACT, _ROUNDED = 1e-3, 2e-2  # of a first loss that is known, relative: in fp32, in 16 bits


@HOOKS.register_module()
class CheckLossHook(Hook):
    """Ends the run with the step's batch written aside: work_dir/nan_batch_step_N.json.

    With several processes those whose part of the loss is no number write theirs, to
    nan_batch_step_N.rankR.json; all do where only the gradient is none, which all have alike.

    It looks before the optimizer steps, so the checkpoints, and the weights in memory, are those
    of the last good step.

    Where the algorithm knows its first loss, it warns of another: a policy that is held against a
    reference begins as that reference. What the algorithm's alarms say of a step it says too.
    """

    on_every_process = True

    def __init__(self) -> None:
        self._alarms: dict[str, Any] = {}

    def before_run(self, run: Run) -> None:
        """Let the alarms go on where a resumed run's were."""
        if run.model.alarms is None:
            return
        run.model.alarms.state |= self._alarms
        self._alarms = run.model.alarms.state

    def state_dict(self) -> dict[str, Any]:
        """Return what the alarms have seen."""
        return {"alarms": self._alarms} if self._alarms else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned."""
        self._alarms = dict(state.get("alarms", {}))

    def after_train_iter(self, run: Run, metrics: dict[str, Any]) -> None:
        """Say what the algorithm's alarms find in a step.

        Args: as `Hook.after_train_iter`.
        """
        if run.model.alarms is not None:
            for message in run.model.alarms.look(metrics):
                if run.world.is_main:
                    run.logger.warning("%s", message)

    def before_optimizer_step(
        self, run: Run, batches: list[Batch], loss: float, grad_norm: float
    ) -> None:
        """Raise TrainingError where the loss or the gradients are not finite.

        Args: as `Hook.before_optimizer_step`.
        """
        # With fp16 loss scaling an infinite gradient only means: skip this step, scale less.
        expected = run.strategy.precision.loss_scaling
        if math.isfinite(loss) and (math.isfinite(grad_norm) or expected):
            if run.step == 0 and run.world.is_main:
                _compare_first(run, loss)
            return
        step, world = run.step + 1, run.world
        blamed = run.spread.ranks_without_a_loss or list(range(world.size))
        name = f"nan_batch_step_{step}" + (f".rank{world.rank}" if world.size > 1 else "") + ".json"
        path = run.work_dir / name
        parts = [part.item() for part in run.micro_losses]
        if world.rank in blamed:
            aside = {
                "step": step,
                "rank": world.rank,
                "loss": repr(loss),
                "losses": [repr(part) for part in parts],
                "grad_norm": repr(grad_norm),
                "micro_batches": [_documents(run, batch) for batch in batches],
            }
            text = json.dumps(aside, indent=1, ensure_ascii=False)
            path.write_text(text + "\n", encoding="utf-8")
        # All come here together, since loss and gradient are the same on all.
        found = world.gather((str(path), _where(world.rank, batches, parts)))
        files, places = zip(*(found[rank] for rank in blamed), strict=True)
        what = f"the loss is {loss}" if not math.isfinite(loss) else f"the gradient is {grad_norm}"
        shown = "; ".join(place for place in places[:4] if place)
        raise TrainingError(
            f"{what} at step {step}; the weights were not touched. "
            + (f"It comes from {shown}. " if shown and world.size > 1 else "")
            + f"Its batch is in {', '.join(files[:4])}. Look for broken rows there, lower lr, or "
            "set strategy.precision='fp32', then go on with --resume"
        )


def _compare_first(run: Run, loss: float) -> None:
    known = run.model.first_loss
    tolerated = _EXACT if run.strategy.precision.name == "fp32" else _ROUNDED
    if known is None or abs(loss - known) <= tolerated * max(1.0, abs(known)):
        return
    run.logger.warning(
        "the first loss is %.4f, and %.4f is right while the model is still its own reference. "
        "The reference is another model then: name the one that the training begins with. If it "
        "is meant to be another, all is well",
        loss,
        known,
    )


def _where(rank: int, batches: list[Batch], parts: list[float]) -> str:
    """Say which micro-batches of this process have no loss, and of which samples they are made."""
    broken = [n for n, part in enumerate(parts) if not math.isfinite(part)]
    if not broken:
        return ""
    samples = [sample for n in broken for sample in batches[n].samples]
    listed = ", ".join(map(str, samples[:10])) + (" ..." if len(samples) > 10 else "")
    count = ", ".join(str(n + 1) for n in broken)
    return f"rank {rank}, micro-batch {count} of {len(parts)}, samples {listed}"


def _documents(run: Run, batch: Batch) -> list[dict[str, Any]]:
    bounds = batch.cu_seqlens.tolist()
    documents = []
    for index, (start, end) in enumerate(zip(bounds, bounds[1:], strict=False)):
        ids = batch.input_ids[0, start:end].tolist()
        labels = batch.labels[0, start:end]
        documents.append(
            {
                "sample": batch.samples[index] if index < len(batch.samples) else None,
                "text": run.tokenizer.decode(ids),
                "trained_tokens": int((labels != IGNORE_INDEX).sum()),
                "input_ids": ids,
                "labels": labels.tolist(),
            }
        )
    return documents
