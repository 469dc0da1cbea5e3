"""Which folder a run may write to, and what happens to a run that is there already.

What is in it, and what a start finds and does:

    work_dir/
      config.py           the sheet that runs, byte for byte
      checkpoints/        see xtune/checkpoint/
      metrics.jsonl  train.log  data_report.json  loss_curve.png  tensorboard/  chat_samples/
      run.json            how it does, and which token caches it reads; see run_record.py
      previous/<time>/    what an earlier run left, moved aside and never deleted

    found in work_dir                   without --resume          with --resume
    nothing                             start                     start, with a notice
    a start that came to no step        start, log goes on        the same, with a notice
    no checkpoint yet, only logs        logs -> previous/, start  the same, with a notice
    checkpoints of the same sheet       all -> previous/, start   go on from the newest whole one
    checkpoints of another sheet        refuse                    go on if only knobs differ that
                                                                  leave model, data and order alone,
                                                                  or places: see places.py
    checkpoints, all damaged            as above                  refuse

A run may still be refused, for its data, for the memory that it needs, or because it is to go on
with other data than then. So nothing is moved, and no file is written, before `WorkDir.record`; a
start that is refused leaves a folder as it found it, and takes away one that it has made.
"""

from __future__ import annotations

import logging
import os
import re
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from xtune.checkpoint.folder import find_resumable, list_checkpoints, remove_leftovers, step_of
from xtune.checkpoint.meta import damage
from xtune.config import Sheet, render
from xtune.engine.differing import differing
from xtune.engine.metrics_file import METRICS
from xtune.engine.places import is_place, require_places
from xtune.errors import CheckpointError, ConfigError, UsageError, XtuneError
from xtune.local_path import not_there
from xtune.parallel.world import World

__all__ = ["AUTO", "WorkDir", "require_shared"]

AUTO = "auto"  # --resume without a folder: the newest whole checkpoint of the work_dir

_log = logging.getLogger(__name__)

# What every run in a folder adds to: the watchdog's file is open when a run is recorded
_KEPT = re.compile(r"previous|\.lock|stacks\.rank\d+\.txt")

# A resumed run must meet the same weights, the same batches and the same optimizer state.
_MUST_NOT_CHANGE = (
    "model",
    "tokenizer",
    "train_dataset",
    "optimizer.type",
    "paramwise_cfg",
    "randomness",
)  # batch_size and accumulative_counts may, if a step takes as many items as before: see Runner
# These change what a step keeps in memory, not its result: a run that ran out of it may go on.
_MEMORY_ONLY = (
    "model.gradient_checkpointing",
    "model.activation_offload",
    "model.loss_chunk_size",
    "model.fused",
)


class WorkDir:
    """The folder of one run, and the rules above.

    Args:
        path: the folder; need not exist.
        sheet: that is going to run in it.
    """

    def __init__(self, path: Path, sheet: Sheet) -> None:
        self.path = path
        self.sheet = sheet
        self.config = path / "config.py"
        self.checkpoints = path / "checkpoints"
        self._lock: FileLock | None = None
        self._made: list[Path] = []  # folders and a lock file, the innermost first

    def check(self, resume: str | None) -> Path | None:
        """Refuse what `open` would refuse, without touching the folder.

        Returns:
            The checkpoint to go on from, or None.

        Raises:
            ConfigError: checkpoints of another sheet are there; or a run is to go on, and what the
                sheet names is no longer there.
            UsageError, CheckpointError: what `resume` names does not exist, or is damaged.
        """
        folder = self._find_resumable(resume)
        if folder is not None:
            self._check_same_run(folder)
            require_places(self.sheet)
        elif list_checkpoints(self.checkpoints) and (differing := self._differing(self.config)):
            moved = all("." not in k or is_place(k, *values) for k, values in differing.items())
            again = "with --resume, if they hold what was there before"
            if not moved:
                again = f"with that run: xtune train {self.config} --work-dir {self.path} --resume"
            raise ConfigError(
                f"{self.path} holds checkpoints of another config; "
                f"{_listed(sorted(differing))} differ. Choose another folder with --work-dir, or "
                f"go on {again}"
            )
        return folder

    def open(self, resume: str | None) -> Path | None:
        """Apply the rules, and keep other processes out; what is there stays until `record`.

        Args:
            resume: None, AUTO, or a step folder or work_dir.

        Returns:
            The checkpoint to go on from, or None to start from the beginning.
        """
        self.check(resume)
        self.create()
        self._acquire()
        remove_leftovers(self.checkpoints)
        folder = self._find_resumable(resume)
        if folder is None and resume == AUTO:
            _log.warning(
                "--resume: there is no checkpoint in %s, so this run starts from the beginning",
                self.path,
            )
        return folder

    def goes_on(self, checkpoint: Path | None) -> bool:
        """Whether a run that begins with what `open` has returned goes on with the one here."""
        return checkpoint is not None and checkpoint.parent == self.checkpoints.resolve()

    def record(self, checkpoint: Path | None) -> None:
        """Write the sheet to config.py; move aside what does not belong to the run.

        Args:
            checkpoint: what it goes on from, as `open` has returned it.
        """
        if checkpoint is not None and self.goes_on(checkpoint):
            reached = step_of(checkpoint) or 0
            every = list_checkpoints(self.checkpoints)
            moved = [path for step, path in every if step > reached]
            if self.config.is_file() and self.config.read_bytes() != self.sheet.text.encode():
                moved.append(self.config)
        else:
            moved = self._left_by_another()
        self._move_aside(moved)
        self.config.write_text(self.sheet.text, encoding="utf-8")
        self._made.clear()

    def create(self) -> None:
        """Make the folder.

        Raises:
            UsageError: it cannot be made, or is a file.
        """
        missing = [one for one in (self.path, *self.path.parents) if not one.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._made += missing
        except OSError as error:
            raise UsageError(
                f"the work dir {self.path} cannot be made ({error.strerror}); choose another "
                "folder with --work-dir"
            ) from error

    def require_makeable(self) -> None:
        """Refuse what `create` would refuse, and make nothing.

        Raises:
            UsageError: the folder cannot be made, or is a file.
        """
        there = next(path for path in (self.path, *self.path.absolute().parents) if path.exists())
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            why = "no right to write there" if there.is_dir() else f"{there} is a file"
            raise UsageError(
                f"the work dir {self.path} cannot be made ({why}); choose another folder with "
                "--work-dir"
            )

    def close(self) -> None:
        """Let other processes in again; take away what was made for a run that came to nothing."""
        for made in self._made:
            with suppress(OSError):  # something lies in it
                made.rmdir() if made.is_dir() else made.unlink()
        self._made.clear()
        if self._lock is not None:
            self._lock.release()

    def _acquire(self) -> None:
        file = self.path / ".lock"
        is_new = not file.exists()
        self._lock = FileLock(file)
        try:
            self._lock.acquire(timeout=0)
            self._made[:0] = [file] if is_new else []
        except Timeout:
            raise UsageError(
                f"another run is writing to {self.path}; wait for it, stop it, or choose another "
                "folder with --work-dir"
            ) from None

    def _find_resumable(self, resume: str | None) -> Path | None:
        if resume is None:
            return None
        if resume == AUTO:
            folder = find_resumable(self.checkpoints)
            return folder.resolve() if folder else None
        given = Path(resume).expanduser().resolve()
        if not given.is_dir():
            raise UsageError(
                f"--resume: {not_there(resume)} Give a step folder or a work_dir"
                if not given.exists()
                else f"--resume {resume} is a file. Give a step folder or a work_dir"
            )
        if step_of(given) is not None:
            if reason := damage(given):
                raise CheckpointError(
                    f"{given} is damaged ({reason}). --resume {given.parent.parent} takes the "
                    "newest whole checkpoint there"
                )
            return given
        root = given if given.name == "checkpoints" else given / "checkpoints"
        folder = find_resumable(root)
        if folder is None:
            raise CheckpointError(f"--resume {resume}: there is no checkpoint in {root}")
        return folder.resolve()

    def _check_same_run(self, folder: Path) -> None:
        differing = self._differing(folder.parent.parent / "config.py")
        fatal = [
            key
            for key, values in sorted(differing.items())
            if _touches(key, _MUST_NOT_CHANGE)
            and not _touches(key, _MEMORY_ONLY)
            and not is_place(key, *values)  # compared by content: see identity.py
        ]
        if fatal:
            raise ConfigError(
                f"{folder} was written by a config with other values of {_listed(fatal)}: its "
                "weights, data order or optimizer state would not fit. Resume with "
                f"{folder.parent.parent / 'config.py'}, or start afresh in another --work-dir"
            )
        # A name of PART 1 is told by the values that it flows into.
        if visible := sorted(key for key in differing if "." in key):
            _log.warning("resuming with other values of %s than before", _listed(visible))

    def _differing(self, recorded: Path) -> dict[str, tuple[Any, Any]]:
        """Dotted keys whose values differ between the recorded sheet and ours -> both values."""
        if not recorded.is_file():
            return {"all keys (it has no config.py)": (None, None)}
        if recorded.read_bytes() == self.sheet.text.encode():
            return {}
        try:
            old = render(recorded).values
        except XtuneError as error:
            return {f"all keys ({recorded} cannot be read: {error})": (None, None)}
        return differing(old, self.sheet.values)

    def _left_by_another(self) -> list[Path]:
        """What an earlier run left; nothing, if it came to no step: its log is gone on with."""
        metrics = self.path / METRICS
        took_steps = metrics.is_file() and metrics.stat().st_size > 0
        if not took_steps and not list_checkpoints(self.checkpoints):
            return []
        return [path for path in self.path.iterdir() if not _KEPT.fullmatch(path.name)]

    def _move_aside(self, moved: list[Path]) -> None:
        """Move these to previous/<time>/."""
        if not moved:
            return
        target = self.path / "previous" / time.strftime("%Y%m%d_%H%M%S")
        while target.exists():  # two starts within a second
            target = target.with_name(target.name + "_")
        for path in moved:
            destination = target / path.relative_to(self.path)
            destination.parent.mkdir(parents=True, exist_ok=True)
            path.rename(destination)
        names = ", ".join(sorted(str(path.relative_to(self.path)) for path in moved)[:4])
        rest = f" and {len(moved) - 4} more" if len(moved) > 4 else ""
        _log.warning("moved %s%s of an earlier run to %s", names, rest, target)


def require_shared(path: Path, world: World) -> None:
    """Refuse a work dir that is another folder on another host; all processes call this.

    Args:
        path: the work dir.
        world: the run's processes.

    Raises:
        ConfigError: it is.
    """
    name = world.from_main(f".shared-{uuid.uuid4().hex}")
    if world.is_main:
        (path / name).touch()
    world.wait()
    unseeing = [rank for rank, seen in enumerate(world.gather((path / name).exists())) if not seen]
    if world.is_main:
        (path / name).unlink()
    if unseeing:
        raise ConfigError(
            f"process {unseeing[0]} does not see the files that process 0 writes into {path}, and "
            "each saves its part of the model there. Give a --work-dir that all hosts share, or "
            "train an adapter, which one process saves"
        )


def _touches(key: str, roots: tuple[str, ...]) -> bool:
    return key.startswith("all keys") or any(
        key == root or key.startswith(root + ".") for root in roots
    )


def _listed(keys: list[str]) -> str:
    shown = ", ".join(keys[:8])
    return shown if len(keys) <= 8 else f"{shown} and {len(keys) - 8} more"
