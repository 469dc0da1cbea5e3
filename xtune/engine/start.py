"""Start a run: what `xtune train` and `xtune.train` share, from a name to the last step."""

from __future__ import annotations

import gc
import os
import signal
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtune.errors import ConfigError, UsageError
from xtune.garbage import uncollected
from xtune.parallel.openmp import sharing_processors

if TYPE_CHECKING:
    from xtune.config import Sheet
    from xtune.engine.results import Results
    from xtune.engine.run import Run

__all__ = ["how_it_stopped", "run_sheet", "sheet_to_run", "train", "work_dir_of"]

_AUTO = "auto"  # as `--resume` without a folder; see work_dir.py
_TRAINING = threading.Lock()


def train(
    config: str | Path | Sheet,
    /,
    *,
    work_dir: str | Path | None = None,
    resume: bool | str | Path = False,
    strategy: str | None = None,
    deepspeed: str | None = None,
    force: bool = False,
    stop: threading.Event | None = None,
    **knobs: Any,
) -> Results:
    """Train what a config names, in this process, as `xtune train` does.

        run = xtune.train('smollm2_135m_lora_toolcall', max_steps=5, data_path='my.json')
        run.metrics[-1]['loss'], run.adapter

    What is trained is given up at the end, whatever the end is, so that the next run or model has
    the memory; the random generators are as they were. Ctrl-C (in a notebook: interrupt) finishes
    the step, saves, and then raises KeyboardInterrupt; `resume=True` goes on from there. Python
    hands it to the main thread alone: a run in another thread is ended by `stop`.

    Args:
        config: the name of a shipped config, a config file, or a sheet of `render`.
        work_dir: where results go; default work_dirs/NAME. What an earlier run of the same sheet
            has left there is moved to previous/; a folder that holds checkpoints of another
            sheet is refused.
        resume: True goes on from the newest whole checkpoint of work_dir, or begins where there
            is none; or a step folder or another work_dir to go on from.
        strategy: 'single', 'ddp', 'fsdp' or 'deepspeed', for processes that torchrun has started.
        deepspeed: DeepSpeed's settings by name, 'deepspeed_zero2', or the path of a JSON file.
        force: go on though the run needs more memory than there is, or no answer of the data ends.
        stop: an event for another thread to set: the run finishes its step, saves, and returns.
        **knobs: as for `render`.

    Returns:
        What the run has left in its work_dir; see `Results`.

    Raises:
        XtuneError: of the kind that fits, with the text that the command line has, where
            `--force` means `force=True`; checkpoints written before stay whole.
        KeyboardInterrupt: the run was interrupted; the text says what was saved.
    """
    from xtune.engine.results import results

    _require_this_process()
    chosen = _AUTO if resume is True else str(Path(resume).expanduser()) if resume else None
    sheet = sheet_to_run(config, strategy=strategy, deepspeed=deepspeed, resume=chosen, **knobs)
    folder = work_dir_of(sheet, work_dir)
    stopped = None
    with sharing_processors(), _given_up():
        run = run_sheet(sheet, work_dir=folder, resume=chosen, force=force, stop=stop)
        if run.interrupted is not None and not (stop is not None and stop.is_set()):
            stopped = run.interrupted, how_it_stopped(run)
        del run
    if stopped is not None:
        _obey(*stopped)
    return results(folder)


def sheet_to_run(
    config: str | Path | Sheet,
    options: Sequence[str] = (),
    *,
    strategy: str | None = None,
    deepspeed: str | None = None,
    resume: str | None = None,
    **knobs: Any,
) -> Sheet:
    """Render a config with all that a start says of it, its strategy too.

    Args:
        config: a name, a file, or a sheet.
        options: `key=value` each, of the command line.
        strategy: see `with_strategy`.
        deepspeed: the same.
        resume: what a run goes on from; then what the sheet names must still be there.
        **knobs: as for `render`.

    Raises:
        UsageError, ConfigError: as `render` and `with_strategy` do; or a sheet's values were
            changed past its text.
    """
    from xtune.config import Sheet, render, require_valid
    from xtune.engine.strategy_choice import with_strategy

    if isinstance(config, Sheet):
        _require_unchanged(config)
    sheet = render(config, options, **knobs)
    sheet = with_strategy(sheet, strategy=strategy, deepspeed=deepspeed)
    if resume:
        from xtune.engine.places import require_places

        require_places(sheet)
    require_valid(sheet)  # the runner does so too; a misspelt name is said before torch is loaded
    return sheet


def work_dir_of(sheet: Sheet, given: str | Path | None = None) -> Path:
    """Return where a run's results go: as given, as the sheet says, or work_dirs/NAME."""
    named = given or sheet.values.get("work_dir") or f"work_dirs/{sheet.name}"
    return Path(str(named)).expanduser()


def run_sheet(
    sheet: Sheet,
    *,
    work_dir: Path,
    resume: str | None,
    force: bool,
    stop: threading.Event | None = None,
) -> Run:
    """Run a sheet to its end, or to the signal that ends it.

    Args:
        sheet: of `sheet_to_run`.
        work_dir: where results go.
        resume: None, 'auto', or a step folder or work_dir.
        force: only warn of what would be refused: too little memory, answers that do not end.
        stop: ends the run after a step once another thread sets it.

    Raises:
        XtuneError: of the kind that fits; or another run trains in this process.
    """
    if not _TRAINING.acquire(blocking=False):
        raise _another_run()
    try:
        with uncollected():
            import torch

            from xtune.engine.memory_check import MemoryCheck
            from xtune.engine.runner import Runner

        if torch.cuda.is_initialized():  # the peak is this run's, not that of one before it
            torch.cuda.reset_peak_memory_stats()
        check = MemoryCheck(force=force)
        runner = Runner(sheet, work_dir=work_dir, resume=resume, memory_check=check, stop=stop)
        return runner.train()
    finally:
        _TRAINING.release()


def how_it_stopped(run: Run) -> str:
    """Say which signal ended a run, after which step, and what was saved."""
    assert run.interrupted is not None
    where = f"saved {run.saved}" if run.saved else "nothing new to save"
    return f"stopped by {run.interrupted.name} after step {run.step} of {run.max_steps}; {where}"


def _another_run() -> UsageError:
    return UsageError(
        "another run trains in this process, and two would share their random generators: "
        "wait for it, or start this one in a process of its own: xtune train"
    )


def _require_this_process() -> None:
    """Refuse a second run, and what only the command line does: to start further processes."""
    if _TRAINING.locked():  # said before the sheet is looked at
        raise _another_run()
    asked = [
        f"{name}={os.environ[name]}"
        for name in ("NPROC_PER_NODE", "NNODES")
        if os.environ.get(name, "1") != "1"
    ]
    if asked and "WORLD_SIZE" not in os.environ:
        raise UsageError(
            f"{' '.join(asked)} asks for several processes, and xtune.train trains in this one. "
            f"Start them: {' '.join(asked)} xtune train CONFIG, or torchrun with a script that "
            "calls xtune.train"
        )


def _require_unchanged(sheet: Sheet) -> None:
    from xtune.config import render
    from xtune.engine.differing import differing

    changed = differing(render(sheet).values, sheet.values)
    if changed:
        keys = ", ".join(sorted(changed))
        raise ConfigError(
            f"the values of sheet {sheet.name} were changed, and its text, which a run records, "
            f"was not: {keys}. Give them to render: xtune.render(sheet, lr=1e-4)"
        )


@contextmanager
def _given_up() -> Iterator[None]:
    """Leave neither the model nor random generators to who asks for a run, however it ends."""
    with uncollected():
        import torch

        from xtune.engine.rng import preserved_rng

    try:
        with preserved_rng():
            yield
    except BaseException as error:
        # A notebook keeps the last error, whose frames hold the model.
        for one in _chain(error):
            traceback.clear_frames(one.__traceback__)
        raise
    finally:
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [one.__cause__, one.__context__]


def _obey(number: signal.Signals, stopped: str) -> None:
    """Let a signal that waited for the end of the step do now what it would have done."""
    try:
        signal.raise_signal(number)
    except KeyboardInterrupt as interrupt:
        interrupt.args = (f"{stopped}. Go on: the same call with resume=True",)
        raise
