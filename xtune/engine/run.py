"""`Run`: how far a training run is, and what loops, hooks and checkpoints may ask of it.

    runner.py        fills it, part by part, and starts its loop
    update.py        does one optimizer step of it
    loops.py         say where the batches of a step come from
    checkpoints.py   writes it, and lets a prepared one go on
    hooks/           watch it

All of them import this file, and it imports none of them.
"""

from __future__ import annotations

import copy
import logging
import signal
import threading
import traceback
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from xtune.checkpoint.background import BackgroundWriter, Writer
from xtune.config import Sheet
from xtune.config.recipe import Recipe
from xtune.engine.logs import open_console
from xtune.engine.share_sums import ShareSums
from xtune.engine.signals import StopSignals
from xtune.parallel.in_step import NotHeard
from xtune.parallel.progress import beat, enter
from xtune.parallel.world import world_of_environment

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from xtune.data.protocol import Dataset, Loader
    from xtune.engine.rank_stats import RankStats
    from xtune.engine.strategies.base import Strategy
    from xtune.engine.throughput import Throughput
    from xtune.models.algorithms.base import Algorithm
    from xtune.optim.schedules import Schedule
    from xtune.parallel.sequence import SequenceGroup

__all__ = ["Run"]


class Run:
    """One training run. It has the attributes below once the runner has got so far.

    Args:
        sheet: the config that runs.
        work_dir: where its results go.
        writer_of: returns what writes a checkpoint of a run, see `checkpoint_writer`; is given the
            run and how many checkpoints to keep.
        stop: ends it after a step once another thread sets it, as a signal does.

    Attributes:
        sheet, work_dir: as given.
        cfg: the sheet's values; `recipe` what they say of the run, once they are checked.
        console, logger: for messages; the logger also writes work_dir/train.log.
        tokenizer: its chat_template is the one trained with.
        pieces: the tokens that the sheet adds to it; see `token_pieces`.
        train_dataset, val_dataset: val_dataset is None without validation data.
        template: of the training data.
        day: on which the run began, '2026-11-30', for templates that tell today's date.
        model: the algorithm; `llm` the language model in it, a PeftModel with an adapter.
        strategy, schedule, loop: what the sheet names; the loop is a `Loop` of loops.py.
        loader, val_loader: the micro-batches of each step; val_loader is None without such data.
        hooks: name -> `Hook`, in the order in which they are called.
        throughput: what its steps cost, and how fast they are.
        world: the processes of the run; one of them logs and writes.
        share_sums: adds up over them what the algorithm returns; survey_sums what it surveys.
        sequence: those of them that share each row with this one.
        began_with: notes of the adapter that is trained further: its origin, its new tokens.
        fingerprint: of the model that the training began with; see `base_fingerprint`.
        step: optimizer steps done; max_steps of how many.
        tokens, trained_tokens: seen since the beginning of the run.
        metrics: of the last step.
        spread: of the last step, what differs between the processes.
        micro_losses: of the last step, the parts of the loss of this process's micro-batches.
        longest: tokens of the longest micro-batch of the last step.
        signals: those that end it after a step.
        writer: writes its checkpoints.
        saved: the newest checkpoint that this process has written, or None; one of them writes.
        ended_in: the phase in which the steps ended, for an error's text.
        interrupted: the signal that ended it, or None.
    """

    recipe: Recipe
    tokenizer: PreTrainedTokenizerBase
    pieces: dict[int, list[int]]
    train_dataset: Dataset
    val_dataset: Dataset | None
    template: Any
    day: str
    model: Algorithm
    llm: Any
    sequence: SequenceGroup
    strategy: Strategy
    throughput: Throughput
    loader: Loader
    val_loader: Loader | None
    schedule: Schedule
    loop: Any
    max_steps: int
    fingerprint: Any
    spread: RankStats
    ended_in: str = ""

    def __init__(
        self,
        sheet: Sheet,
        *,
        work_dir: Path,
        writer_of: Callable[[Run, int | None], Writer | None],
        stop: threading.Event | None = None,
    ) -> None:
        self.sheet, self.cfg = sheet, sheet.values
        self.work_dir = Path(work_dir)
        self._writer_of = writer_of
        self.console = open_console()
        self.logger = logging.getLogger("xtune.engine")
        self.world = world_of_environment()
        self.share_sums = ShareSums(self.world)
        self.survey_sums = ShareSums(self.world)
        self.began_with: dict[str, Any] = {}
        self.hooks: dict[str, Any] = {}
        self.step = self.tokens = self.trained_tokens = self.longest = 0
        self.metrics: dict[str, Any] = {}
        self.micro_losses: list[Tensor] = []
        self._stopping = self._ending = False
        self.signals = StopSignals(stop)
        self.writer = BackgroundWriter()
        self.saved: Path | None = None
        self.interrupted: signal.Signals | None = None

    def stop(self, reason: str) -> None:
        """End the run after this step, as if it were the last one."""
        if not self._stopping:
            self._stopping = True
            self.logger.warning("stopping after step %d: %s", self.step, reason)

    @property
    def is_over(self) -> bool:
        """Whether no further step is to be done."""
        return self._ending or self.step >= self.max_steps

    def agree_to_end(self) -> None:
        """End all processes after the same step, if one of them was told to."""
        own = (self._stopping, self.signals.look() is not None)
        stopping, signals = zip(*self.world.gather(own), strict=True)
        signalled = any(signals)
        self._ending = signalled or any(stopping)
        if signalled and self.signals.received is None:
            self.signals.received = signal.SIGTERM

    @property
    def base_lr(self) -> float:
        """The learning rate that the schedule multiplies, in the sheet's own number."""
        return float(self.cfg["optimizer"]["lr"])

    @property
    def max_norm(self) -> float | None:
        """What gradients are clipped to, or None."""
        return (self.cfg.get("clip_grad") or {}).get("max_norm")

    @cached_property
    def tokenizer_to_write(self) -> PreTrainedTokenizerBase:
        """A copy: a tokenizer that is asked for a chat must not be written out meanwhile."""
        return copy.deepcopy(self.tokenizer)

    def call_hooks(self, point: str, *arguments: Any) -> None:
        """Call every hook at `point`; one that is not essential may fail, with a warning."""
        for name, hook in self.hooks.items():
            if not (self.world.is_main or hook.on_every_process):
                continue
            beat(f"{name}, {point}")
            try:
                getattr(hook, point)(self, *arguments)
            except Exception as error:
                if hook.essential or isinstance(error, NotHeard):
                    raise
                self.logger.warning(
                    "%s failed in %s and is passed over: %s: %s",
                    name,
                    point,
                    type(error).__name__,
                    error,
                )
                self.logger.debug("%s", traceback.format_exc())

    def end_step(self, metrics: dict[str, Any]) -> None:
        """Tell the hooks that a step is done, and agree on whether there is another one.

        Args:
            metrics: of the step; a line of metrics.jsonl.
        """
        self.metrics = metrics
        enter("hooks after the step", step=self.step)
        self.call_hooks("after_train_iter", metrics)
        self.take_saved()
        enter("agreeing to go on", step=self.step)
        self.agree_to_end()

    def save_checkpoint(self, *, max_keep: int | None = None, wait: bool = True) -> None:
        """Write work_dir/checkpoints/step_…; all processes call this, and one of them writes.

        When it is written, `saved` of that process is its folder.

        Args:
            max_keep: delete the oldest beyond so many. None: keep all.
            wait: until it is written; False lets the training go on meanwhile.

        Raises:
            CheckpointError: the disk is full, now or for the one before; earlier checkpoints are
                untouched.
        """
        enter("saving", step=self.step, slow=True)
        self.take_saved(wait=True)
        if (write := self._writer_of(self, max_keep)) is not None:
            self.writer.submit(write)
        self.take_saved(wait=wait)

    def take_saved(self, *, wait: bool = False) -> None:
        """Say that a checkpoint has been written, if one has; raise what its writer has raised."""
        saved = self.writer.finished(wait=wait)
        if saved is not None:
            self.saved = saved
            self.logger.info("saved %s", saved)
            self.call_hooks("after_save_checkpoint", saved)

    def release_model(self) -> None:
        """Let go of the model and its optimizer, after an error, so that their memory is free."""
        for name in ("model", "llm"):
            self.__dict__.pop(name, None)
        if "strategy" in self.__dict__:
            self.strategy.release()
