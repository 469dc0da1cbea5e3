"""A hook that ends a run the hard way, in the middle of a step."""

from xtune.engine.hooks.base import Hook


class CrashAt(Hook):
    def __init__(self, *, step: int) -> None:
        self.step = step

    def before_optimizer_step(self, runner, batches, loss, grad_norm):
        if runner.step + 1 == self.step:
            raise RuntimeError("the test's crash")
