"""What a checkpoint holds of a run, beside the weights: all that its next step depends on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import PeftModel

from xtune.checkpoint.export import write_adapter, write_model
from xtune.checkpoint.folder import save_checkpoint
from xtune.checkpoint.state import load_state, save_state, snapshot, state_bytes
from xtune.engine.rng import load_rng_state, rng_state
from xtune.errors import CheckpointError

if TYPE_CHECKING:
    from xtune.engine.runner import Runner

__all__ = ["checkpoint_writer", "load_checkpoint"]


def checkpoint_writer(runner: Runner, max_keep: int | None) -> Callable[[], Path] | None:
    """Return what writes the run as it stands now; all processes call this, and one gets it.

    The run may go on before it is written, but for a whole model on the CPU, of which there is no
    second copy: that one is written here.

    Args:
        runner: between two steps.
        max_keep: delete the oldest beyond so many. None: keep all.
    """
    state = {
        "step": runner.step,
        "max_steps": runner.max_steps,
        "tokens": runner.tokens,
        "trained_tokens": runner.trained_tokens,
        "data": runner.train_dataset.identity,
        "items_per_step": runner.loader.items_per_step,
        "loader": runner.loader.state_dict(),
        "threads": torch.get_num_threads(),
        "rng": runner.world.gather(rng_state()),
        "strategy": runner.strategy.state_dict(),
        "hooks": {name: hook.state_dict() for name, hook in runner.hooks.items()},
    }
    runner.call_hooks("before_save_checkpoint", state)
    is_adapter = isinstance(runner.llm, PeftModel)
    adapter = runner.strategy.gather_adapter() if is_adapter else {}
    model: Any = None if is_adapter else runner.strategy.gather_model()

    if not runner.world.is_main:
        return None
    root, step, notes = runner.work_dir / "checkpoints", runner.step, runner.notes
    at_once = model is runner.llm
    adapter = snapshot(adapter)
    if not (at_once or runner.strategy.casts_weights):  # such a one has put copies together
        state = snapshot(state)
    weights = adapter if is_adapter else model.state_dict()
    tokenizer = runner.tokenizer_to_write

    def fill(folder: Path) -> None:
        save_state(folder / "state", state)
        if is_adapter:
            write_adapter(folder / "adapter", runner.llm, adapter, tokenizer, notes)
        else:
            write_model(folder / "model", model, tokenizer, notes)

    def write() -> Path:
        needed = state_bytes(state) + state_bytes(weights)
        return save_checkpoint(root, step, write=fill, bytes_needed=needed, max_keep=max_keep)

    if at_once:
        folder = write()
        return lambda: folder
    return write


def load_checkpoint(runner: Runner, checkpoint: Path) -> None:
    """Let a prepared run go on from a checkpoint.

    Raises:
        CheckpointError: it was trained on other data, with steps of another size, or another model.
    """
    state = load_state(checkpoint / "state")
    if state["data"] != (now := runner.train_dataset.identity):
        raise CheckpointError(
            f"the data are not those that {checkpoint} was trained on: {state['data']} then, "
            f"{now} now. Resume with the data as they were, or start in another --work-dir"
        )
    before, per_step = state.get("items_per_step"), runner.loader.items_per_step
    if before not in (None, per_step):
        raise CheckpointError(
            f"a step took {before} items when {checkpoint} was written, and takes {per_step} "
            f"with {runner.world.size} processes: the data would not go on where they were. "
            "Change accumulative_counts or batch_size so that processes x accumulative_counts "
            f"x batch_size is {before} again"
        )
    runner.strategy.load_state_dict(state["strategy"])
    runner.loader.load_state_dict(state["loader"])
    runner.step = state["step"]
    runner.tokens, runner.trained_tokens = state["tokens"], state["trained_tokens"]
    for name, hook in runner.hooks.items():
        if name in state["hooks"]:
            hook.load_state_dict(state["hooks"][name])
    if runner.world.rank < len(state["rng"]):
        load_rng_state(state["rng"][runner.world.rank])
    if runner.world.size != len(state["rng"]):
        runner.logger.warning(
            "%d processes now, %d before: the data go on where they were, dropout draws anew",
            runner.world.size,
            len(state["rng"]),
        )
    runner.logger.info("resumed from %s", checkpoint)
    if runner.strategy.device.type == "cpu" and state["threads"] != torch.get_num_threads():
        runner.logger.warning(
            "%d threads now, %d before: sums may differ in their last bit; OMP_NUM_THREADS=%d "
            "goes on exactly",
            torch.get_num_threads(),
            state["threads"],
            state["threads"],
        )
