"""Hooks that end a run the hard way."""

import resource

from xtune.engine.hooks.base import Hook


class CrashAt(Hook):
    def __init__(self, *, step: int) -> None:
        self.step = step

    def before_optimizer_step(self, runner, batches, loss, grad_norm):
        if runner.step + 1 == self.step:
            raise RuntimeError("the test's crash")


class FullDiskAt(Hook):
    """From a step on no file may grow beyond 4 kB; lifted when the run is over."""

    def __init__(self, *, step: int) -> None:
        self.step = step

    def before_train(self, runner):
        self.limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def after_train_iter(self, runner, metrics):
        if runner.step == self.step:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, self.limits[1]))

    def after_run(self, runner):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.limits)
