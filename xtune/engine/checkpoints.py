"""What a checkpoint holds of a run, besides the weights: all that its next step depends on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from xtune.checkpoint.background import Writer
from xtune.checkpoint.folder import LEFTOVER, save_checkpoint
from xtune.checkpoint.meta import weights_apart
from xtune.checkpoint.module import read_module, write_module
from xtune.checkpoint.parts import (
    OptimizerParts,
    Part,
    keep_state,
    parts_bytes,
    wait_for_parts,
    whole_weights,
    write_parts,
)
from xtune.checkpoint.state import load_state, save_state, snapshot, state_bytes
from xtune.engine.identity import (
    base_digest,
    other_digests,
    require_same_base,
    require_same_others,
    vocabulary_digest,
)
from xtune.engine.notes import notes_of
from xtune.engine.rng import load_rng_state, rng_state
from xtune.engine.strategies.sharding import saved_buffers, under_all_names, with_weights
from xtune.errors import CheckpointError
from xtune.export.export import write_adapter, write_model

if TYPE_CHECKING:
    from xtune.engine.run import Run
    from xtune.models.algorithms.base import Algorithm

__all__ = ["checkpoint_writer", "load_checkpoint", "load_further_parts"]

_PARTS = "parts"
# of Strategy.state_dict, where the weights are the model's and the optimizer's state is in parts
_NO_STATE: dict[str, Any] = {"trainable": {}, "optimizer": {}, "scaler": {}}


def checkpoint_writer(run: Run, max_keep: int | None) -> Writer | None:
    """Return what writes the run as it stands now; all processes call this.

    The run may go on before it is written, but for a whole model on the CPU of one process, of
    which there is no second copy: that one is written here.

    Args:
        run: between two steps.
        max_keep: delete the oldest beyond so many. None: keep all.

    Returns:
        What the main process calls, and what others call that hold parts of a whole model. None for
        those that have nothing to write.
    """
    is_adapter = run.model.has_adapter
    parts = None if is_adapter else run.strategy.parts()
    state = {
        "step": run.step,
        "max_steps": run.max_steps,
        "tokens": run.tokens,
        "trained_tokens": run.trained_tokens,
        "day": run.day,
        "data": run.train_dataset.identity,
        "vocabulary": vocabulary_digest(run.tokenizer),
        "base": _base_digest(run) if is_adapter and run.world.is_main else None,
        "others": other_digests(run.cfg["model"]) if run.world.is_main else {},
        "items_per_step": run.loader.items_per_step,
        "loader": run.loader.state_dict(),
        "loop": run.loop.state_dict(),
        "threads": torch.get_num_threads(),
        "precision": run.strategy.precision.name,
        "rng": run.world.gather(rng_state()),
        "strategy": run.strategy.state_dict() if parts is None else _NO_STATE,
        "hooks": {name: hook.state_dict() for name, hook in run.hooks.items()},
    }
    run.call_hooks("before_save_checkpoint", state)
    if parts is not None:
        saved = _saved(run.model)
        own = {name: part for name, part in parts.items() if name.partition(".")[0] in saved}
        return _writer_of_parts(run, state, own, max_keep)
    further = {name: snapshot(run.strategy.gather_part(name)) for name in _further(run.model)}
    adapter = snapshot(run.strategy.gather_adapter()) if is_adapter else {}
    if not run.world.is_main:
        return None
    model: Any = None if is_adapter else run.strategy.whole_model()
    at_once = model is run.llm
    if not (at_once or run.strategy.divides_state):  # such a one has put copies together
        state = snapshot(state)
    needed = state_bytes(state) + state_bytes(adapter if is_adapter else model.state_dict())
    needed += state_bytes(further)
    write_result = _result_writer(run, adapter)

    def fill(folder: Path) -> None:
        save_state(folder / "state", state)
        write_result(folder, model, further)

    root, step = run.work_dir / "checkpoints", run.step
    origin = {key: value for key, value in run.began_with.items() if key == "began_with"}

    def write(_: Event) -> Path:
        return save_checkpoint(
            *(root, step),
            write=fill,
            bytes_needed=needed,
            parts=_saved(run.model),
            max_keep=max_keep,
            notes=origin,
        )

    if at_once:
        folder = write(Event())
        return lambda _: folder
    return write


def _writer_of_parts(
    run: Run, state: dict[str, Any], parts: dict[str, Part], max_keep: int | None
) -> Writer:
    """Return what writes this process's parts; on the main one also the rest, when all have."""
    root, step, world = run.work_dir / "checkpoints", run.step, run.world
    folder = root / f"{LEFTOVER}parts-{step:06d}"
    if world.is_main:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    world.wait()
    copies = {name: part.copied() for name, part in parts.items()}
    weights, kept = parts_bytes(copies)
    # Each process has as much. The weights stand there three times for a while: in parts, whole,
    # and in the model's own files.
    needed = (3 * weights + kept) * world.size
    state = snapshot(state)
    buffers = {
        f"{name}.{key}": value.cpu()
        for name in _saved(run.model)
        for key, value in saved_buffers(run.model.parts()[name].module).items()
    }
    write_result = _result_writer(run, {})

    def fill(final: Path, ending: Event) -> None:
        save_state(final / "state", state)
        wait_for_parts(folder, world.size, ending)
        found = whole_weights(folder, folder / "whole")
        by_part: dict[str, dict[str, Tensor]] = {name: {} for name in _saved(run.model)}
        for path, value in (found | buffers).items():
            name, _, key = path.partition(".")
            by_part[name][key] = value
        model = with_weights(run.llm, by_part.pop(run.model.main))
        modules = {name: run.model.parts()[name].module for name in by_part}
        further = {name: under_all_names(modules[name], by_part[name]) for name in by_part}
        write_result(final, model, further)
        keep_state(folder, final / "state" / _PARTS)

    def write(ending: Event) -> Path | None:
        write_parts(folder, world.rank, copies)
        copies.clear()
        if not world.is_main:
            return None
        try:
            return save_checkpoint(
                *(root, step),
                write=partial(fill, ending=ending),
                bytes_needed=needed,
                parts=_saved(run.model),
                max_keep=max_keep,
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    return write


def _saved(model: Algorithm) -> dict[str, str]:
    """Name of each part that a checkpoint has -> what of it: see `write_meta`."""
    of_model = "adapter" if model.has_adapter else "model"
    return {model.main: of_model} | dict.fromkeys(_further(model), "weights")


def _further(model: Algorithm) -> list[str]:
    """Names of the parts that have a folder of their own."""
    return [name for name, part in model.parts().items() if part.saved_as == "weights"]


def _result_writer(
    run: Run, adapter: dict[str, Tensor]
) -> Callable[[Path, Any, dict[str, dict[str, Tensor]]], None]:
    """Return what writes the adapter, or a whole model that it is given, and the further parts."""
    llm, tokenizer, notes = run.llm, run.tokenizer_to_write, notes_of(run)

    def write(folder: Path, model: Any, further: dict[str, dict[str, Tensor]]) -> None:
        for name, weights in further.items():
            write_module(folder / name, weights)
        if model is None:
            write_adapter(folder / "adapter", llm, adapter, tokenizer, notes)
        else:
            write_model(folder / "model", model, tokenizer, notes)

    return write


def _base_digest(run: Run) -> str | None:
    name = run.recipe.base_model
    return None if name is None else base_digest(name)


def load_further_parts(model: Algorithm, checkpoint: Path) -> None:
    """Give an algorithm the weights of the parts that have a folder of their own.

    Args:
        model: whole, before a strategy takes it; the language model's weights are no matter.
        checkpoint: that the run goes on from.

    Raises:
        CheckpointError: it has other parts.
    """
    own, there = sorted(_further(model)), weights_apart(checkpoint)
    if own != there:
        raise CheckpointError(
            f"{checkpoint} has weights of {', '.join(there) or 'nothing'} next to the language "
            f"model, and {type(model).__name__} trains {', '.join(own) or 'nothing'} there: it was "
            "written by another algorithm, or by a version that did not save them. Resume with the "
            "config that wrote it (work_dir/config.py), or start in another --work-dir"
        )
    for name in own:
        read_module(checkpoint / name, model.parts()[name].module)


def load_checkpoint(run: Run, checkpoint: Path) -> None:
    """Let a prepared run go on from a checkpoint.

    Args:
        run: whose strategy has taken the model.
        checkpoint: its folder.

    Raises:
        CheckpointError: it was trained with steps of another size, or on another model.
    """
    state = load_state(checkpoint / "state")
    if (parts := checkpoint / "state" / _PARTS).is_dir():
        state["strategy"]["optimizer"] = OptimizerParts(parts)
    require_same_base(checkpoint, run.fingerprint)
    require_same_others(checkpoint, state.get("others", {}), run.cfg["model"])
    before, per_step = state.get("items_per_step"), run.loader.items_per_step
    if before not in (None, per_step):
        raise CheckpointError(
            f"a step took {before} items when {checkpoint} was written, and takes {per_step} "
            f"with {run.world.size} processes: the data would not go on where they were. "
            "Change accumulative_counts or batch_size so that processes x accumulative_counts "
            f"x batch_size is {before} again"
        )
    run.strategy.load_state_dict(state["strategy"])
    run.loader.load_state_dict(state["loader"])
    run.loop.load_state_dict(state.get("loop", {}))  # older checkpoints have none
    run.step = state["step"]
    run.tokens, run.trained_tokens = state["tokens"], state["trained_tokens"]
    for name, hook in run.hooks.items():
        if name in state["hooks"]:
            hook.load_state_dict(state["hooks"][name])
    if run.world.rank < len(state["rng"]):
        load_rng_state(state["rng"][run.world.rank])
    if run.world.size != len(state["rng"]):
        run.logger.warning(
            "%d processes now, %d before: the data go on where they were, dropout draws anew",
            run.world.size,
            len(state["rng"]),
        )
    run.logger.info("resumed from %s", checkpoint)
    now, before = run.strategy.precision.name, state.get("precision")
    if before not in (None, now):
        run.logger.warning(
            "%s now, %s before: the losses are not those of a run never stopped; "
            "--cfg-options strategy.precision=%s goes on exactly",
            *(now, before, before),
        )
    if run.strategy.device.type == "cpu" and state["threads"] != torch.get_num_threads():
        run.logger.warning(
            "%d threads now, %d before: sums may differ in their last bit; OMP_NUM_THREADS=%d "
            "goes on exactly",
            torch.get_num_threads(),
            state["threads"],
            state["threads"],
        )
