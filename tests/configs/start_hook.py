"""A hook for a run of a config: the weights as they are before its first step."""

from __future__ import annotations

from xtune.engine.hooks.base import Hook
from xtune.engine.run import Run


class StartHook(Hook):
    """Keeps a copy of every weight.

    Attributes:
        weights: name -> tensor.
    """

    def before_train(self, run: Run) -> None:
        self.weights = {
            name: weight.detach().clone() for name, weight in run.model.named_parameters()
        }
