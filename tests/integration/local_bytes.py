"""What one process really holds of a model's state, by kind, after one step of each strategy.

launch(folder, [(work_dir, words after `xtune train`), ...], processes)

Each run leaves bytes.rank<N>.json in its work_dir. They share one start.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import Tensor

from tests.forked import run_ranks
from xtune.cli.entry import main
from xtune.engine.hooks.base import Hook
from xtune.parallel.world import join, leave, world_of_environment

__all__ = ["LocalBytesHook", "launch", "local_bytes", "run"]


def local_bytes(tensors: Iterable[Tensor | None]) -> int:
    """Bytes of this process's parts; of a DTensor and of DeepSpeed's parameters only the part."""
    total = 0
    for tensor in tensors:
        if tensor is None:
            continue
        own: Any = getattr(tensor, "ds_tensor", tensor)
        own = own.to_local() if hasattr(own, "to_local") else own
        total += own.numel() * own.element_size()
    return total


class LocalBytesHook(Hook):
    """Writes work_dir/bytes.rank<N>.json after the first step."""

    on_every_process = True
    gradients: int | None = None

    def before_optimizer_step(self, runner: Any, batches: Any, loss: float, grad_norm: float):
        if runner.step > 0:
            return
        engine = getattr(runner.strategy, "engine", None)
        if engine is None:
            self.gradients = local_bytes(p.grad for p in runner.model.parameters())
        elif runner.strategy.stage > 1:  # stage 1 has had them whole, and has parted them just now
            groups = engine.optimizer.averaged_gradients.values()
            self.gradients = local_bytes(gradient for group in groups for gradient in group)

    def after_train_iter(self, runner: Any, metrics: dict[str, Any]) -> None:
        if runner.step != 1:
            return
        weights = list(runner.model.parameters())
        states = runner.strategy.optimizer.state
        held = {
            "frozen weights": local_bytes(p for p in weights if not p.requires_grad),
            "trained weights": local_bytes(p for p in weights if p.requires_grad),
            # Adam's count of steps, one number a weight, is no state worth dividing
            "optimizer": local_bytes(
                state[name] for state in states.values() for name in ("exp_avg", "exp_avg_sq")
            ),
        }
        if hasattr(runner.strategy, "engine"):  # DeepSpeed's optimizer steps on fp32 masters
            held["optimizer"] += local_bytes(states)
        if self.gradients is not None:
            held["gradients"] = self.gradients
        file = runner.work_dir / f"bytes.rank{runner.world.rank}.json"
        file.write_text(json.dumps(held))


def launch(folder: Path, runs: list[tuple[str, list[str]]], processes: int) -> None:
    """Train all on so many processes that start once."""
    (folder / "runs.json").write_text(json.dumps(runs))
    words = [str(folder / "runs.json")]
    run_ranks("tests.integration.local_bytes", words, folder, processes)


def run(runs: list[tuple[str, list[str]]]) -> int:
    """Train one after the other; return the first exit code that is not 0."""
    world = world_of_environment()
    join(world)
    for work_dir, words in runs:
        if code := main(["train", *words[:1], "--work-dir", work_dir, *words[1:]]):
            return code
    leave(all_are_done=True)
    return 0


if __name__ == "__main__":
    sys.exit(run(json.loads(Path(sys.argv[1]).read_text())))
