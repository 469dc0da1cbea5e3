"""A progress bar on a terminal and in a notebook, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from xtune.engine.hooks.base import Hook
from xtune.engine.logs import FILE_ONLY
from xtune.engine.notebook import NotebookBar, notebook_screen
from xtune.errors import ConfigError
from xtune.registry import HOOKS

if TYPE_CHECKING:
    from xtune.engine.run import Run

__all__ = ["ProgressHook"]


@HOOKS.register_module()
class ProgressHook(Hook):
    """Shows step, loss, learning rate, tokens/s, trained tokens/s, FLOPs, memory and the time left.

    Args:
        interval: optimizer steps between two plain lines; these also go to train.log.
    """

    def __init__(self, *, interval: int = 10) -> None:
        if interval < 1:
            raise ConfigError(f"ProgressHook: interval is {interval!r}; it is 1 or more")
        self.interval = interval
        self._bar: _TerminalBar | NotebookBar | None = None

    def before_train(self, run: Run) -> None:
        """Draw the bar, if there is a terminal or a notebook to draw it on."""
        self._first_step, self._started = run.step, time.monotonic()
        self._timed_from = self._first_step
        if run.console.is_terminal:
            self._bar = _TerminalBar(run.console, total=run.max_steps, done=run.step)
        elif (screen := notebook_screen()) is not None:
            self._bar = NotebookBar(screen, total=run.max_steps, done=run.step)

    def after_train_iter(self, run: Run, metrics: dict[str, Any]) -> None:
        """Move the bar; write a plain line when it is time.

        Args: as `Hook.after_train_iter`.
        """
        if run.step == self._first_step + 1:  # it compiles, and is not like the others
            self._timed_from, self._started = run.step, time.monotonic()
        if isinstance(self._bar, NotebookBar):  # the terminal's counts the time itself
            self._bar.update(run.step, f"{_numbers(metrics)}  left {self._time_left(run)}")
        elif self._bar is not None:
            self._bar.update(run.step, _numbers(metrics))
        ends = run.step in (self._first_step + 1, run.max_steps)
        if ends or run.step % self.interval == 0 or "val_loss" in metrics:
            run.logger.info(
                "step %d/%d  %s  left %s",
                run.step,
                run.max_steps,
                _numbers(metrics),
                self._time_left(run),
                extra=FILE_ONLY if self._bar is not None else None,
            )

    def after_run(self, run: Run) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.stop()

    def _time_left(self, run: Run) -> str:
        if run.step == self._timed_from:
            return "?" if run.step < run.max_steps else "0:00:00"
        seconds_a_step = (time.monotonic() - self._started) / (run.step - self._timed_from)
        minutes, seconds = divmod(round(seconds_a_step * (run.max_steps - run.step)), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02d}:{seconds:02d}"


class _TerminalBar:
    def __init__(self, console: Console, *, total: int, done: int) -> None:
        self._progress = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task("train", total=total, completed=done, numbers="")
        self._progress.start()

    def update(self, done: int, numbers: str) -> None:
        self._progress.update(self._task, completed=done, numbers=numbers)

    def stop(self) -> None:
        self._progress.stop()


def _numbers(metrics: dict[str, Any]) -> str:
    parts = [f"loss {metrics['loss']:.4f}"]
    if "val_loss" in metrics:
        parts.append(f"val_loss {metrics['val_loss']:.4f}")
    parts += [
        f"{shown} {metrics[name]:.0%}"
        for name, shown in (("reward_accuracy", "right"), ("val_reward_accuracy", "val_right"))
        if name in metrics
    ]
    if "slowest_rank" in metrics:
        ranks = [
            f"work {metrics['work_s_min']:.2f}-{metrics['work_s_max']:.2f} s "
            f"(slowest: rank {metrics['slowest_rank']})",
            f"up to {metrics['peak_memory_mb_max']:,.0f} MiB (rank {metrics['fullest_rank']})",
        ]
    else:
        ranks = []
    return "  ".join(
        [
            *parts,
            f"lr {metrics['lr']:.2e}",
            f"{metrics['tokens_per_s']:,.0f} tokens/s",
            f"{metrics['trained_tokens_per_s']:,.0f} trained/s",
            *_rates_of_a_device(metrics),
            f"{metrics['peak_memory_mb']:,} MiB",
            *ranks,
        ]
    )


def _rates_of_a_device(metrics: dict[str, Any]) -> Iterator[str]:
    """How hard one device works: the rates above are of all of them."""
    if "tokens_per_s_per_device" in metrics:
        yield f"{metrics['tokens_per_s_per_device']:,.0f} tokens/s/device"
    if "tflops_per_device" in metrics:
        share = f" ({metrics['mfu']:.1%} MFU)" if "mfu" in metrics else ""
        yield f"{metrics['tflops_per_device']:.3g} TFLOP/s{share}"
