"""The points of a run at which hooks are called."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtune.structures import Batch

if TYPE_CHECKING:
    from xtune.engine.run import Run

__all__ = ["Hook"]


class Hook:
    """Watches a run; nothing that a step needs goes through a hook.

    Hooks are called in the order of the sheet, `default_hooks` before `custom_hooks`:

        after_load_data                     before any weight is loaded
        before_run  before_train
            before_train_iter  before_optimizer_step  after_train_iter       each optimizer step
                after_evaluate              tasks were measured, by EvaluateHook
                before_save_checkpoint  after_save_checkpoint                each checkpoint
        after_train                         all steps are done, or `run.stop` was called
        on_interrupt                        instead of after_train: Ctrl-C or SIGTERM
        after_run                           always, after an error too

    A hook may call `run.stop(reason)` and `run.save_checkpoint()`, and raise to end the run.

    Attributes:
        essential: False for a hook whose failure is reported and otherwise ignored.
        on_every_process: True for a hook that saves or stops, which all processes must do
            together; any other is called on the one that logs. `after_save_checkpoint` is called on
            the one that writes.
    """

    essential = True
    on_every_process = False

    def after_load_data(self, run: Run) -> None:
        """The data sets are there, the model is not."""

    def before_run(self, run: Run) -> None:
        """Everything is built; `run.step` is above 0 in a resumed run."""

    def before_train(self, run: Run) -> None:
        """The first step comes next."""

    def before_train_iter(self, run: Run, batches: list[Batch]) -> None:
        """The micro-batches of a step are known.

        Args:
            run: at its step.
            batches: this process's micro-batches of the step.
        """

    def before_optimizer_step(
        self, run: Run, batches: list[Batch], loss: float, grad_norm: float
    ) -> None:
        """Gradients are there; the weights are still those of the step before.

        Args:
            run: at its step.
            batches: this process's micro-batches of the step.
            loss: of the step, over all processes.
            grad_norm: before clipping.
        """

    def after_train_iter(self, run: Run, metrics: dict[str, Any]) -> None:
        """A step is done; `metrics` are those of metrics.jsonl, and `val_loss` when measured.

        Args:
            run: after its step.
            metrics: of the step, over all processes.
        """

    def after_evaluate(self, run: Run, metrics: dict[str, Any]) -> None:
        """Tasks were measured, before the first step, between two, or after the last.

        Args:
            run: at its step.
            metrics: `step`, 'eval/mmlu' and its like, and the seconds that it took.
        """

    def before_save_checkpoint(self, run: Run, state: dict[str, Any]) -> None:
        """`state` is about to be written; what is added under a new key is saved with it.

        Args:
            run: at its step.
            state: that is saved; a hook may add to it.
        """

    def after_save_checkpoint(self, run: Run, folder: Path) -> None:
        """`folder` is whole and `latest` points at it; the training may be some steps further.

        Args:
            run: at its step.
            folder: of the checkpoint.
        """

    def after_train(self, run: Run) -> None:
        """The run has come to its end, early or not."""

    def on_interrupt(self, run: Run) -> None:
        """A signal ended the loop after a whole step."""

    def after_run(self, run: Run) -> None:
        """Close what was opened."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must give back to this hook: JSON values and tensors."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned."""
